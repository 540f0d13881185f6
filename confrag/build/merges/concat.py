"""Merge rule `concat`: one result list behind the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazyllm.tools.rag import DocNode

from confrag.build.ranking import Dedupe, first_of_each

__all__ = ["fuse", "slots"]


def fuse(
    rankings: Mapping[str, Sequence[DocNode]], *, weights: Mapping[str, float], dedupe: Dedupe, topk: int | None
) -> list[DocNode]:
    """The nodes in the order of the branches, each at its first place; with `topk`, so many of each branch as `slots`.

    Args:
        rankings: branch -> its nodes, best first.
        weights: branch -> weight.
        dedupe: which nodes count as one.
        topk: how many nodes are kept; None: all.
    """
    nodes = first_of_each([node for ranking in rankings.values() for node in ranking], dedupe)
    if topk is None or topk >= len(nodes):
        return nodes
    kept = {id(node) for node in nodes}
    lists = {name: [node for node in ranking if id(node) in kept] for name, ranking in rankings.items()}
    shares = slots({name: len(ranking) for name, ranking in lists.items()}, weights, topk)
    return [node for name, ranking in lists.items() for node in ranking[: shares[name]]]


def slots(sizes: Mapping[str, int], weights: Mapping[str, float], count: int) -> dict[str, int]:
    """`count` places, or as many as there are nodes, shared out by weight; what a branch cannot fill others get.

    The largest share first where there are fewer places than branches, equal ones in the order of the branches.
    """
    given = dict.fromkeys(sizes, 0)
    while (left := min(count, sum(sizes.values())) - sum(given.values())) > 0:
        hungry = [name for name in sizes if given[name] < sizes[name]]
        total = sum(weights[name] for name in hungry)
        shares = {name: left * weights[name] / total for name in hungry}
        whole = {name: min(int(shares[name]), sizes[name] - given[name]) for name in hungry}
        if not any(whole.values()):
            whole = dict.fromkeys(sorted(hungry, key=lambda name: -shares[name])[:left], 1)
        for name, number in whole.items():
            given[name] += number
    return given
