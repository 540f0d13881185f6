"""Asking a chat model for a text."""

from __future__ import annotations

from collections.abc import Callable

from lazyllm.components import ChatPrompter

from confrag.build.models.chat import ChatModel
from confrag.build.models.resilience import BusyError
from confrag.build.models.talk import FailedError, RefusedError, Talk
from confrag.build.trace import current, span
from confrag.errors import ServiceError

__all__ = ["Writer"]


class Writer:
    """A chat model that writes texts. Safe for threads.

    Args:
        model: what writes.
        temperature: 0: the same text each time.
        max_tokens: upper bound of a text.
    """

    def __init__(self, model: ChatModel, *, temperature: float, max_tokens: int) -> None:
        # LazyLLM looks for names in braces in the instructions themselves, and takes values as they are.
        self._talk = Talk(model, ChatPrompter("{instructions}"))
        self.chat = self._talk.module
        self._temperature, self._max_tokens = temperature, max_tokens

    def write(self, system: str, message: str, stage: str, sink: Callable[[str], None] | None = None) -> str:
        """The model's text; time and tokens go to the record of the question that is running.

        Args:
            system: what the model is told about its task.
            message: the user's part of the prompt.
            stage: what the time counts as.
            sink: called with each piece of the text while it is written.

        Raises:
            ServiceError: the model does not give one.
            InterruptedError: the question was given up, be it while the model writes.
        """
        trace = current()
        go_on = trace.go_on if trace and trace.given_up else None
        with span(stage, "llm"):
            try:
                prompt = {"instructions": system, "input": message}
                said = self._talk(prompt, sink, temperature=self._temperature, max_tokens=self._max_tokens, go_on=go_on)
            except (BusyError, FailedError, RefusedError) as error:
                raise ServiceError(f"{self._talk.place} gave no answer: {error}") from error
        if trace:
            trace.spend(said.model, said.prompt_tokens, said.completion_tokens)
        return said.text
