"""From nodes to an answer: numbered passages within a budget, then a model that writes, or quotations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import lazyllm
from lazyllm.tools.rag import DocNode

from confrag.build.nodes import passage
from confrag.build.trace import current, span
from confrag.build.writing import Writer

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
            text = passage(node)
            tokens = self._encode(text)
            if len(tokens) > left:
                if passages:
                    break
                # The best passage is never left out, only shortened; a cut may fall inside a character.
                tokens = tokens[:left]
                passages.append(f"[{number}] " + self._decode(tokens).rstrip("\ufffd"))
            else:
                passages.append(f"[{number}] {text}")
            left -= len(tokens)
        filled = {"context": "\n\n".join(passages), "question": question}
        # One pass over the template alone, so that braces inside a passage stay what they are.
        message = re.sub(r"\{(context|question)\}", lambda match: filled[match[1]], self._template)
        return Prompt(message, tuple(nodes[: len(passages)]))


class Write(lazyllm.ModuleBase):  # type: ignore[misc]
    """Asks a chat model for the answer, whole or piece by piece."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.chat = writer.chat
        self._writer = writer

    def forward(self, prompt: Prompt) -> Reply:
        """The model's answer. Raises ServiceError when the model does not give one."""
        trace = current()
        return Reply(self._writer.write(prompt.message, "generate", trace.sink if trace else None), prompt.nodes)


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
            quotes = [f"[{number}] {self._cut(passage(node))}" for number, node in enumerate(chosen, start=1)]
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
