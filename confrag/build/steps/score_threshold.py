"""Recall step `score_threshold`: drop what scores too low."""

from __future__ import annotations

from typing import Any

from lazyllm.tools.rag import DocNode

from confrag.build.ranking import score_of
from confrag.build.steps.parts import Children, Parts

__all__ = ["build"]


def build(parts: Parts, children: Children, *, at_least: float) -> Any:
    """A step that keeps the nodes whose last score reaches `at_least`."""

    def score_threshold(nodes: list[DocNode], query: str = "") -> list[DocNode]:
        return [node for node in nodes if score_of(node) >= at_least]

    return score_threshold
