"""Merge rule `rrf`: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazyllm.tools.rag import DocNode

from confrag.build.merges.adding import add_up
from confrag.build.ranking import Dedupe, first_of_each

__all__ = ["fuse"]


def fuse(
    rankings: Mapping[str, Sequence[DocNode]],
    *,
    weights: Mapping[str, float],
    dedupe: Dedupe,
    topk: int | None,
    k: int,
) -> list[DocNode]:
    """Nodes by the sum of weight / (k + rank) over the branches that hold them; ranks count from 1.

    The order of the branches plays no part; equal sums are ordered by id.
    """
    lists = {name: first_of_each(ranking, dedupe) for name, ranking in rankings.items()}
    values = {name: [weights[name] / (k + rank) for rank in range(1, len(nodes) + 1)] for name, nodes in lists.items()}
    return add_up(lists, values, dedupe)[:topk]
