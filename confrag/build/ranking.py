"""What a list of nodes is ordered by, and how nodes are told apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Literal

from lazyllm.tools.rag import DocNode

from confrag.build.private.nodes import parent_uid

__all__ = ["Dedupe", "best_first", "first_of_each", "identity_of", "score_of", "scored", "unique"]

Dedupe = Literal["node", "parent"]


def score_of(node: DocNode) -> float:
    """What the list that the node is in was ordered by last: a retriever's score, a merge rule's or a reranker's."""
    score = getattr(node, "ranked_by", None)
    return float((node.similarity_score if score is None else score) or 0.0)


def scored(node: DocNode, score: float) -> DocNode:
    """The node, to be ordered by `score`."""
    node.ranked_by = score
    return node


def best_first(nodes: Sequence[DocNode]) -> list[DocNode]:
    """Nodes by falling score; equal scores by id, so that the order never depends on chance."""
    return sorted(nodes, key=lambda node: (-score_of(node), node.uid))


def identity_of(dedupe: Dedupe) -> Callable[[DocNode], Hashable]:
    """What is the same for nodes that count as one."""
    return _parent if dedupe == "parent" else _uid


def _uid(node: DocNode) -> Hashable:
    return str(node.uid)


def _parent(node: DocNode) -> Hashable:
    return node.group, parent_uid(node) or node.uid


def first_of_each(nodes: Sequence[DocNode], dedupe: Dedupe) -> list[DocNode]:
    """Of the nodes that count as one only the first, with all the routes that found one of them."""
    kept: dict[Hashable, DocNode] = {}
    identity = identity_of(dedupe)
    for node in nodes:
        first = kept.setdefault(identity(node), node)
        if first is not node:
            first.routes = tuple(dict.fromkeys((*first.routes, *node.routes)))
    return list(kept.values())


def unique(nodes: Sequence[DocNode]) -> list[DocNode]:
    """Each node once, at its first place."""
    return first_of_each(nodes, "node")
