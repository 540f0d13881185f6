"""Transforms that cut a text to a size in tokens, at the best places for it.

The packing of pieces into chunks is that of LazyLLM's SentenceSplitter. Its pieces are ours: LazyLLM's own drop the
white space between sentences ("end.Next"), and those of its RecursiveSplitter the white space between words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from lazyllm.tools.rag import DocNode, NodeTransform, SentenceSplitter

from confrag.build.private.nodes import set_pieces

__all__ = ["Sized", "markdown", "recursive", "sentence_splitter"]

Level = tuple[re.Pattern[str], bool]
"""Where a text may be cut (after each match), and whether what comes out are whole sentences."""

_PARAGRAPH: Level = (re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+"), True)
_LINE: Level = (re.compile(r"\n+"), True)
_SENTENCE: Level = (re.compile(r"[.!?]+[\"'”’)\]]*\s+|[。！？；…]+[」』”’）]*\s*|\n+"), True)
_CLAUSE: Level = (re.compile(r"[,;:]\s+|[，、：]\s*"), False)
_WORD: Level = (re.compile(r"\s+"), False)
_CHARACTER: Level = (re.compile(r".", re.DOTALL), False)

_HEADING = re.compile(r"^#{1,6}\s.*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


class Sized(NodeTransform):  # type: ignore[misc]
    """Cuts texts into chunks of at most `chunk_size` tokens (GPT-2's) that share up to `chunk_overlap` of them.

    A text is cut at the first level that cuts it; a piece that is still too large is cut at the levels below.
    """

    def __init__(
        self,
        chunk_size: int,
        chunk_overlap: int,
        levels: Sequence[Level],
        sections: Callable[[str], list[str]] | None = None,
    ) -> None:
        super().__init__()
        self._levels = (*levels, _CHARACTER)
        self._sections = sections
        splitter = SentenceSplitter(chunk_size=chunk_size, chunk_overlap=chunk_overlap)
        # Text that looks like a special token (<|endoftext|>) is text.
        splitter.from_tiktoken_encoder("gpt2", disallowed_special=())
        self._splitter = set_pieces(splitter, self._pieces)

    def forward(self, node: DocNode, **kwargs: Any) -> list[DocNode]:
        """The chunks of a node's text, in order."""
        return [DocNode(text=chunk) for chunk in self.chunks(node.text)]

    def chunks(self, text: str) -> list[str]:
        """The chunks of a text, in order, none of them blank."""
        sections = self._sections(text) if self._sections else [text]
        return [chunk for section in sections for chunk in self._splitter.split_text(section, 0) if chunk.strip()]

    def _pieces(self, text: str) -> tuple[list[str], bool]:
        for pattern, sentences in self._levels:
            pieces = _cut(text, [match.end() for match in pattern.finditer(text)])
            if len(pieces) > 1:
                return pieces, sentences
        return [text], False


def _cut(text: str, places: Sequence[int]) -> list[str]:
    bounds = [0, *(place for place in places if 0 < place < len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


def _headed(text: str) -> list[str]:
    """A Markdown text cut before each of its headings; what looks like one inside a code block is none."""
    code = [match.span() for match in _FENCE.finditer(text)]
    starts = [match.start() for match in _HEADING.finditer(text)]
    return _cut(text, [place for place in starts if not any(start < place < end for start, end in code)])


def sentence_splitter(*, chunk_size: int, chunk_overlap: int) -> NodeTransform:
    """Whole sentences up to a size."""
    return Sized(chunk_size, chunk_overlap, (_SENTENCE, _CLAUSE, _WORD))


def recursive(*, chunk_size: int, chunk_overlap: int) -> NodeTransform:
    """Whole paragraphs up to a size, then lines, then words."""
    return Sized(chunk_size, chunk_overlap, (_PARAGRAPH, _LINE, _WORD))


def markdown(*, chunk_size: int, chunk_overlap: int) -> NodeTransform:
    """The sections below the headings of Markdown, each cut up to a size."""
    return Sized(chunk_size, chunk_overlap, (_PARAGRAPH, _LINE, _SENTENCE, _WORD), _headed)
