"""What the merge rules that add up values have in common."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

from lazyllm.tools.rag import DocNode

from confrag.build.ranking import Dedupe, best_first, first_of_each, identity_of, scored

__all__ = ["add_up"]


def add_up(
    lists: Mapping[str, Sequence[DocNode]], values: Mapping[str, Sequence[float]], dedupe: Dedupe
) -> list[DocNode]:
    """The nodes of all branches by the sum of their values, which becomes their score; equal ones by id.

    Args:
        lists: branch -> nodes, no two of which count as one.
        values: branch -> the value of each node.
        dedupe: which nodes of different branches count as one; the one of the highest value stands for them.
    """
    identity = identity_of(dedupe)
    parts: dict[Hashable, list[float]] = {}
    pairs = [pair for name in lists for pair in zip(lists[name], values[name], strict=True)]
    # The best first, so that it is the one that is kept, whatever the order of the branches.
    pairs.sort(key=lambda pair: (-pair[1], pair[0].uid))
    for node, value in pairs:
        parts.setdefault(identity(node), []).append(value)
    nodes = first_of_each([node for node, _ in pairs], dedupe)
    for node in nodes:
        # Summed exactly: the order of the branches must not show in the last bit.
        node.similarity_score = math.fsum(parts[identity(node)])
        scored(node, node.similarity_score)
    return best_first(nodes)
