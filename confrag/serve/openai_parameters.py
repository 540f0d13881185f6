"""Parameters of OpenAI's interface that are not used: which are taken all the same, and which are refused, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confrag.serve.problems import ProblemError

__all__ = ["CHAT_REFUSED", "CHAT_UNUSED", "ONE_TEXT", "ParameterError", "Refusal"]


class ParameterError(ProblemError):
    """A parameter of a request that cannot be honoured.

    Args:
        param: its name, or place: ``messages[2].content``.
        message: what is wrong, and the way out.
        code: as OpenAI calls the mistake.
        status: of the response.
    """

    def __init__(self, param: str | None, message: str, code: str = "invalid_value", status: int = 400) -> None:
        super().__init__(status, message, more={"param": param, "code": code})


@dataclass(frozen=True)
class Refusal:
    """Why a parameter is refused, unless its value asks for nothing.

    Attributes:
        why: what the client would not get.
        harmless: values that ask for nothing, beside None.
    """

    why: str
    harmless: tuple[object, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """Raises ParameterError for a value that asks for something."""
        # By type, too: True is equal to 1.
        if not any(type(value) is type(allowed) and value == allowed for allowed in self.harmless):
            message = f"{name} = {value!r:.80}: {self.why}; leave '{name}' out"
            raise ParameterError(name, message, "unsupported_parameter")


CHAT_UNUSED = frozenset(
    {
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "min_p",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "repetition_penalty",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "temperature",
        "top_k",
        "top_p",
        "user",
        "verbosity",
    }
)
"""Taken and left unused: how the model writes is the configuration's affair, and none of these changes what is asked
for."""

ONE_TEXT = "the answer is one text, written by the configured pipeline"
CHAT_REFUSED: Mapping[str, Refusal] = {
    "audio": Refusal(ONE_TEXT),
    "function_call": Refusal(ONE_TEXT, ("none", "auto")),
    "functions": Refusal(ONE_TEXT, ([],)),
    "logit_bias": Refusal("the model's vocabulary is not open to requests", ({},)),
    "logprobs": Refusal("the model's probabilities are not kept", (False,)),
    "modalities": Refusal(ONE_TEXT, (["text"],)),
    "n": Refusal("a question has one answer", (1,)),
    "response_format": Refusal("the answer is plain text; the prompts are the configuration's", ({"type": "text"},)),
    "stop": Refusal("the answer ends where the model ends it; cut it where it is shown", ([], "")),
    "tool_choice": Refusal(ONE_TEXT, ("none", "auto")),
    "tools": Refusal(ONE_TEXT, ([],)),
    "top_logprobs": Refusal("the model's probabilities are not kept", (0,)),
    "web_search_options": Refusal("answers come from the corpus"),
}
"""Refused, unless the value asks for nothing: what is got would not be what was asked for."""
