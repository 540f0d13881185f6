"""Recall step `mmr`: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

from __future__ import annotations

from typing import Any

import numpy as np
from lazyllm.tools.rag import DocNode
from numpy.typing import NDArray

from confrag.build.steps.parts import Children, Parts
from confrag.build.trace import limit, span

__all__ = ["build", "select"]

Vectors = NDArray[np.float32]


def select(query: Vectors, vectors: Vectors, count: int, relevance: float) -> list[int]:
    """Choose rows one by one, each the best of ``relevance x cosine to the query - (1 - relevance) x the highest
    cosine to a chosen row``.

    Args:
        query: `[dim]`, unit length.
        vectors: `[n, dim]`, unit length.
        count: how many rows to choose.
        relevance: from 0 to 1.

    Returns:
        The rows in the order of choice; equal ones in their own order.
    """
    to_query = vectors @ query
    to_chosen = np.zeros(len(vectors), np.float32)
    left = np.ones(len(vectors), bool)
    chosen: list[int] = []
    for _ in range(min(count, len(vectors))):
        values = np.where(left, relevance * to_query - (1 - relevance) * to_chosen, -np.inf)
        row = int(np.argmax(values))
        chosen.append(row)
        left[row] = False
        similar = vectors @ vectors[row]
        to_chosen = np.maximum(to_chosen, similar) if len(chosen) > 1 else similar
    return chosen


def build(parts: Parts, children: Children, *, model: str, topk: int, relevance: float) -> Any:
    """A step that keeps `topk` nodes, in the order in which they were chosen; their scores stay as they are."""
    embed = parts.embed[model]

    def mmr(nodes: list[DocNode], query: str = "") -> list[DocNode]:
        if not nodes:
            return []
        with span("rerank", "mmr"):
            vectors = np.asarray(embed([node.text for node in nodes]), np.float32)
            chosen = select(np.asarray(embed(query), np.float32), vectors, limit(topk) or topk, relevance)
            return [nodes[row] for row in chosen]

    return mmr
