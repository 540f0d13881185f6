"""A retriever as a route: LazyLLM's own, with results in order, marked with where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lazyllm.tools.rag import DocNode, Document, Retriever

from confrag.build.trace import limit, span

__all__ = ["Route", "best_first"]


def best_first(nodes: Sequence[DocNode]) -> list[DocNode]:
    """Nodes by falling score; equal scores by id, so that the order never depends on chance."""
    return sorted(nodes, key=lambda node: (-(node.similarity_score or 0.0), node.uid))


class Route(Retriever):  # type: ignore[misc]
    """LazyLLM's Retriever; each node it returns carries `routes`, the names of the routes that found it."""

    def __init__(
        self,
        name: str,
        document: Document,
        *,
        group: str,
        target: str | None,
        topk: int,
        similarity: str,
        index: str,
        cut_off: float | None,
        embed_keys: Sequence[str],
    ) -> None:
        super().__init__(
            document,
            group_name=group,
            similarity=similarity,
            similarity_cut_off=float("-inf") if cut_off is None else float(cut_off),
            index=index,
            topk=topk,
            embed_keys=list(embed_keys) or None,
            target=target,
        )
        self.route = name
        self.topk = topk

    def forward(
        self, query: str, filters: Mapping[str, Any] | None = None, topk: int | None = None, **kwargs: Any
    ) -> list[DocNode]:
        """Nodes for a question, best first."""
        with span("retrieve", self.route):
            nodes = super().forward(query, filters, topk or limit(self.topk), **kwargs)
            for node in nodes:
                node.routes = (self.route,)
            return best_first(nodes)
