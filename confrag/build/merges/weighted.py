"""Merge rule `weighted`: a weighted sum of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from lazyllm.tools.rag import DocNode

from confrag.build.merges.adding import add_up
from confrag.build.ranking import Dedupe, first_of_each, score_of

__all__ = ["fuse"]


def fuse(
    rankings: Mapping[str, Sequence[DocNode]],
    *,
    weights: Mapping[str, float],
    dedupe: Dedupe,
    topk: int | None,
    normalize: Literal["min_max", "none"],
) -> list[DocNode]:
    """Nodes by the sum of weight x score over the branches that hold them, divided by the sum of all weights.

    ``min_max`` maps a branch's best score to 1 and its worst to 0 (all to 1 where they are equal), so that it makes no
    difference in what unit a branch scores. The order of the branches plays no part; equal sums are ordered by id.
    """
    lists = {name: first_of_each(ranking, dedupe) for name, ranking in rankings.items()}
    total = sum(weights[name] for name in lists)
    values = {}
    for name, nodes in lists.items():
        scores = [score_of(node) for node in nodes]
        scores = _min_max(scores) if normalize == "min_max" else scores
        values[name] = [weights[name] * score / total for score in scores]
    return add_up(lists, values, dedupe)[:topk]


def _min_max(scores: list[float]) -> list[float]:
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]
