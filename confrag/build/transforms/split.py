"""Transform `split`: a piece at each separator."""

from __future__ import annotations

import re
from typing import Any

from lazyllm.tools.rag import DocNode, NodeTransform

__all__ = ["Split", "split"]


class Split(NodeTransform):  # type: ignore[misc]
    """Cuts a text at a separator and strips the pieces; empty pieces, and pieces without a letter or digit, go."""

    def __init__(self, separator: str, regex: bool = False, keep_separator: bool = False) -> None:
        super().__init__()
        self._cut = re.compile(separator if regex else re.escape(separator))
        self._keep = keep_separator

    def forward(self, node: DocNode, **kwargs: Any) -> list[DocNode]:
        """The pieces of a node's text."""
        return [DocNode(text=piece) for piece in self.pieces(node.text)]

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text, in order."""
        cuts = [(match.start(), match.end()) for match in self._cut.finditer(text)]
        starts = [0, *(end for _, end in cuts)]
        ends = [*(end if self._keep else start for start, end in cuts), len(text)]
        cut = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        return [piece for piece in cut if any(char.isalnum() for char in piece)]


def split(*, separator: str, regex: bool, keep_separator: bool) -> NodeTransform:
    """A transform of LazyLLM's kind."""
    return Split(separator, regex, keep_separator)
