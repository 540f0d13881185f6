"""From nodes to an answer: numbered passages within a budget, then a model that writes, or quotations."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lazyllm
from lazyllm.components import ChatPrompter
from lazyllm.tools.rag import DocNode

from confrag.build.private import stream_to
from confrag.build.trace import current, span
from confrag.errors import ServiceError

__all__ = ["Context", "Quote", "Refuse", "Reply", "Write"]

Tokens = Callable[[str], list[int]]


@dataclass(frozen=True)
class Reply:
    """What the graph returns.

    Attributes:
        text: the answer.
        nodes: the passages it was written from, in the order of their numbers.
    """

    text: str
    nodes: tuple[DocNode, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """The user's message to the model, and the passages in it."""

    message: str
    nodes: tuple[DocNode, ...]


class Context:
    """Numbers the passages, best first, until the budget is used up, and fills the prompt with them."""

    def __init__(self, template: str, budget: int, encode: Tokens, decode: Callable[[list[int]], str]) -> None:
        self._template = template
        self._budget = budget
        self._encode = encode
        self._decode = decode

    def __call__(self, nodes: Sequence[DocNode], question: str) -> Prompt:
        """The message for a question."""
        passages: list[str] = []
        left = self._budget
        for number, node in enumerate(nodes, start=1):
            tokens = self._encode(node.text)
            if len(tokens) > left:
                if passages:
                    break
                # The best passage is never left out, only shortened; a cut may fall inside a character.
                tokens = tokens[:left]
                passages.append(f"[{number}] " + self._decode(tokens).rstrip("\ufffd"))
            else:
                passages.append(f"[{number}] {node.text}")
            left -= len(tokens)
        filled = {"context": "\n\n".join(passages), "question": question}
        # One pass over the template alone, so that braces inside a passage stay what they are.
        message = re.sub(r"\{(context|question)\}", lambda match: filled[match[1]], self._template)
        return Prompt(message, tuple(nodes[: len(passages)]))


class Write(lazyllm.ModuleBase):  # type: ignore[misc]
    """Asks a chat model, whole or piece by piece, and counts its tokens."""

    def __init__(self, chat: Any, place: str, *, system: str, temperature: float, max_tokens: int) -> None:
        super().__init__()
        self.chat = chat.prompt(ChatPrompter(system))
        self._place = place
        self._sampling = {"temperature": temperature, "max_tokens": max_tokens}

    def forward(self, prompt: Prompt) -> Reply:
        """The model's answer. Raises ServiceError when the model does not give one."""
        trace = current()
        key = uuid.uuid4().hex
        # A share of its own for each question: LazyLLM keeps a stream's sink on the module.
        chat = self.chat.share()
        chat.used_by(key)
        with span("generate", "llm"):
            try:
                stream = stream_to(trace.sink) if trace and trace.sink else False
                text = chat(prompt.message, stream_output=stream, max_retries=2, **self._sampling)
            except Exception as error:
                text = _cut_short(error)
                if not text:
                    raise ServiceError(f"{self._place} gave no answer: {_reason(error)}") from error
            finally:
                usage = lazyllm.globals["usage"].pop(key, {})
        if trace:
            trace.prompt_tokens += max(0, usage.get("prompt_tokens", 0))
            trace.completion_tokens += max(0, usage.get("completion_tokens", 0))
        return Reply(str(text).strip(), prompt.nodes)


def _cut_short(error: Exception) -> str:
    """What a model wrote until it reached `max_tokens`, which LazyLLM counts as a failure; else nothing."""
    terminal = getattr(error, "terminal", None)
    if terminal is None or terminal.finish != "length":
        return ""
    frames = getattr(error, "partial_response", [])
    choices = [choice for frame in frames for choice in frame.get("choices", [])]
    parts = [choice.get("message") or choice.get("delta") or {} for choice in choices]
    return "".join(part.get("content") or "" for part in parts) + " …"


def _reason(error: BaseException) -> str:
    root = error
    while root.__cause__ or root.__context__:
        root = root.__cause__ or root.__context__ or root
    return " ".join(str(root).split())[:300] or type(root).__name__


class Quote:
    """Answers without a model: the best passages, word for word."""

    def __init__(self, introduction: str, passages: int, max_chars: int) -> None:
        self._introduction = introduction
        self._passages = passages
        self._max_chars = max_chars

    def __call__(self, nodes: Sequence[DocNode], question: str) -> Reply:
        """Quotations, with their numbers."""
        chosen = tuple(nodes[: self._passages])
        with span("generate", "extractive"):
            quotes = [f"[{number}] {self._cut(node.text)}" for number, node in enumerate(chosen, start=1)]
            text = "\n\n".join([self._introduction, *quotes])
        trace = current()
        if trace and trace.sink:
            trace.sink(text)
        return Reply(text, chosen)

    def _cut(self, text: str) -> str:
        flat = " ".join(text.split())
        return flat if len(flat) <= self._max_chars else flat[: self._max_chars].rsplit(" ", 1)[0] + " …"


class Refuse:
    """Says that nothing was found, instead of inventing."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, nodes: Sequence[DocNode], question: str) -> Reply:
        """The same text each time, without a source."""
        trace = current()
        if trace and trace.sink:
            trace.sink(self._text)
        return Reply(self._text)
