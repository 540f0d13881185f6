"""Merge rule `rrf`: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lazyllm
from lazyllm.tools.rag import DocNode

from confrag.build.merges.concat import unique
from confrag.build.route import best_first

__all__ = ["fuse", "merge"]


def fuse(rankings: Sequence[Sequence[DocNode]], weights: Sequence[float], k: int) -> list[DocNode]:
    """Order nodes by the sum of weight / (k + rank) over the rankings that hold them; ranks count from 1.

    The sum becomes the score of the node.
    """
    scores: dict[str, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, node in enumerate(ranking, start=1):
            scores[node.uid] = scores.get(node.uid, 0.0) + weight / (k + rank)
    nodes = unique([node for ranking in rankings for node in ranking])
    for node in nodes:
        node.similarity_score = scores[node.uid]
    return best_first(nodes)


def merge(fan_out: Any, weights: Sequence[float], k: int) -> Any:
    """LazyLLM's ``parallel``, then the fusion of its results."""

    def rrf(*rankings: Sequence[DocNode]) -> list[DocNode]:
        return fuse(rankings, weights, k)

    fused: Callable[..., list[DocNode]] = rrf
    return lazyllm.pipeline(fan_out, fused)
