"""From a prompt or nodes to an answer: a model that writes, quotations, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lazyllm
from lazyllm.tools.rag import DocNode

from confrag.build.citations import Citations, Cited
from confrag.build.nodes import passage
from confrag.build.prompting import Prompt
from confrag.build.trace import current, span
from confrag.build.writing import Writer

__all__ = ["Quote", "Refuse", "Reply", "Write"]


@dataclass(frozen=True)
class Reply:
    """What the graph returns.

    Attributes:
        text: the answer.
        nodes: the passages it was written from, in the order of their numbers.
        citations: the numbers that the text cites.
        dangling: how many numbers were taken out of it, since they refer to no passage.
    """

    text: str
    nodes: tuple[DocNode, ...] = ()
    citations: tuple[int, ...] = ()
    dangling: int = 0


class Write(lazyllm.ModuleBase):  # type: ignore[misc]
    """Asks a chat model for the answer, whole or piece by piece, and checks what it cites.

    Args:
        writer: the model.
        cites: whether it was asked to cite passages.
    """

    def __init__(self, writer: Writer, cites: bool) -> None:
        super().__init__()
        self.chat = writer.chat
        self._writer = writer
        self._cites = cites

    def forward(self, prompt: Prompt) -> Reply:
        """The model's answer. Raises ServiceError when the model does not give one."""
        trace = current()
        sink = trace.sink if trace else None
        citations = Citations(len(prompt.nodes))
        cited = Cited(citations if self._cites else None, sink)
        cited.end(self._writer.write(prompt.system, prompt.user, "generate", cited.hear if sink else None))
        return Reply(cited.text, prompt.nodes, tuple(sorted(citations.used)), citations.dangling)


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
        return Reply(text, chosen, tuple(range(1, len(chosen) + 1)))

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
