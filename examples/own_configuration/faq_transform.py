"""The transform `faq`, a LazyLLM transform like any other."""

from __future__ import annotations

import re
from typing import Any

from lazyllm.tools.rag import DocNode, NodeTransform

ENTRY = re.compile(
    r"^\*\*Q:\*\*\s*(?P<question>.+?)\s*^\*\*A:\*\*\s*(?P<answer>.+?)\s*(?=^\*\*Q:\*\*|\Z)", re.MULTILINE | re.DOTALL
)


class Faq(NodeTransform):
    """Cuts a text into its entries; a text without any is left whole."""

    def __init__(self, keep_question: bool) -> None:
        super().__init__()
        self.keep_question = keep_question

    def forward(self, node: DocNode, **kwargs: Any) -> list[DocNode]:
        """One node for each entry; its question goes into the metadata, and so comes back with every hit."""
        entries = [match.groupdict() for match in ENTRY.finditer(node.text)]
        return [self._node(**entry) for entry in entries] or [DocNode(text=node.text)]

    def _node(self, question: str, answer: str) -> DocNode:
        text = f"{question}\n{answer}" if self.keep_question else answer
        return DocNode(text=text, metadata={"question": question})


def build(*, keep_question: bool) -> NodeTransform:
    """The builder gets the keys of `FaqSpec` as arguments."""
    return Faq(keep_question)
