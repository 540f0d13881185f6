"""Merge rule `concat`: one result list behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lazyllm
from lazyllm.tools.rag import DocNode

__all__ = ["merge", "unique"]


def unique(nodes: Sequence[DocNode]) -> list[DocNode]:
    """Each node once, at its first place, with all the routes that found it."""
    kept: dict[str, DocNode] = {}
    for node in nodes:
        first = kept.setdefault(node.uid, node)
        if first is not node:
            first.routes = tuple(dict.fromkeys((*first.routes, *node.routes)))
    return list(kept.values())


def merge(fan_out: Any, weights: Sequence[float]) -> Any:
    """LazyLLM's ``parallel().sum``, then each node once. Weights play no part."""
    return lazyllm.pipeline(fan_out.sum, unique)
