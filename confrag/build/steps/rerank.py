"""Recall step `rerank`: a model scores question and node together."""

from __future__ import annotations

from typing import Any

from lazyllm.tools.rag import DocNode, Reranker

from confrag.build.models.protocols import RerankModel
from confrag.build.nodes import passage
from confrag.build.ranking import best_first, scored
from confrag.build.steps.parts import Children, Parts
from confrag.build.trace import limit, span

__all__ = ["ModelRerank", "build"]


@Reranker.register_reranker
class ModelRerank(Reranker):  # type: ignore[misc]
    """LazyLLM's Reranker over a model of ours; nodes come back best first with their `relevance_score`."""

    def __init__(self, name: str = "ModelRerank", *, model: RerankModel, topk: int) -> None:
        super().__init__(name)
        self._model = model
        self._keep = topk

    def forward(self, nodes: list[DocNode], query: str = "", topk: int | None = None) -> list[DocNode]:
        """The best nodes for a question."""
        if not nodes:
            return []
        with span("rerank", "rerank"):
            scores = self._model.scores(query, [passage(node) for node in nodes])
            for node, score in zip(nodes, scores, strict=True):
                node.relevance_score = float(score)
                scored(node, node.relevance_score)
            return best_first(nodes)[: topk or limit(self._keep)]


def build(parts: Parts, children: Children, *, model: str, topk: int) -> Any:
    """The reranker of a plan."""
    return Reranker("ModelRerank", model=parts.models[model], topk=topk)
