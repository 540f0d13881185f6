"""What the steps of a recall are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lazyllm.tools.rag import DocNode

from confrag.build.models.protocols import RerankModel
from confrag.build.route import Route
from confrag.build.trace import limit

__all__ = ["Parts", "top"]


@dataclass(frozen=True)
class Parts:
    """The routes and rerank models of a plan, by name, and the weight of each route."""

    routes: Mapping[str, Route]
    weights: Mapping[str, float]
    rerankers: Mapping[str, RerankModel]

    def route(self, name: str) -> Route:
        """The route of a retriever."""
        return self.routes[name]


def top(topk: int) -> Callable[[list[DocNode]], list[DocNode]]:
    """A step that keeps the first nodes."""

    def first(nodes: list[DocNode]) -> list[DocNode]:
        return nodes[: limit(topk)]

    return first
