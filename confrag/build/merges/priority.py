"""Merge rule `priority`: some branches before others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazyllm.tools.rag import DocNode

from confrag.build.merges.concat import fuse as concat
from confrag.build.ranking import Dedupe, first_of_each

__all__ = ["fuse"]

_LEVELS = ("high", "normal", "low")


def fuse(
    rankings: Mapping[str, Sequence[DocNode]],
    *,
    weights: Mapping[str, float],
    dedupe: Dedupe,
    topk: int | None,
    priorities: Mapping[str, str],
) -> list[DocNode]:
    """All nodes of high priority, then those of normal, then those of low, until there are `topk`.

    Branches of one priority are merged as by `concat`. As LazyLLM's PriorityRetriever, but for two things: it gives
    more than `topk` nodes where the last level that it takes has more, and the same node twice.
    """
    levels = [[name for name in rankings if priorities[name] == level] for level in _LEVELS]
    in_order = [node for level in levels for name in level for node in rankings[name]]
    own = {id(node) for node in first_of_each(in_order, dedupe)}
    nodes: list[DocNode] = []
    for level in levels:
        members = {name: [node for node in rankings[name] if id(node) in own] for name in level}
        left = None if topk is None else topk - len(nodes)
        nodes += concat(members, weights=weights, dedupe=dedupe, topk=left) if left != 0 else []
    return nodes
