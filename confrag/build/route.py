"""A retriever as a route: LazyLLM's own, with results in order, marked with where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lazyllm.tools.rag import DocNode, Document, Retriever

from confrag.build.expand import Expand
from confrag.build.gate import Gate
from confrag.build.ranking import best_first
from confrag.build.trace import current, limit, span
from confrag.schema.filters import Filters, joined, parse

__all__ = ["Route"]


class Route(Retriever):  # type: ignore[misc]
    """LazyLLM's Retriever; each node it returns carries `routes`, the names of the routes that found it."""

    def __init__(
        self,
        name: str,
        document: Document,
        expand: Expand,
        *,
        group: str,
        target: str | None,
        window: int,
        topk: int,
        similarity: str | None,
        index: str,
        cut_off: float | None,
        embed_keys: Sequence[str],
        filters: Filters = (),
        doc_fields: Mapping[str, str] = MappingProxyType({}),
        gate: Gate,
    ) -> None:
        super().__init__(
            document,
            group_name=group,
            # An index of texts that goes by none of LazyLLM's: without a name it would take it for one of vectors.
            similarity=similarity or "bm25",
            similarity_cut_off=float("-inf") if cut_off is None else float(cut_off),
            index=index,
            topk=topk,
            embed_keys=list(embed_keys) or None,
        )
        self._expand = expand
        self._gate = gate
        self._to = target
        self._window = window
        self._filters = filters
        self._doc_fields = doc_fields
        self.route = name
        self.topk = topk

    def forward(
        self, query: str, filters: Mapping[str, Any] | None = None, topk: int | None = None, **kwargs: Any
    ) -> list[DocNode]:
        """Nodes for a question, best first; children of a hit, and its neighbours, in the order of the text.

        The route's own filters, those of the question and the given ones hold together.
        """
        trace = current()
        wanted = joined(self._filters, trace.filters if trace else (), parse(filters or {}, self._doc_fields))
        with span("retrieve", self.route), self._gate.reading():
            nodes = best_first(super().forward(query, wanted or None, topk or limit(self.topk), **kwargs))
            nodes = self._expand.to_group(nodes, self._to) if self._to else nodes
            nodes = self._expand.window(nodes, self._window) if self._window else nodes
            for node in nodes:
                node.routes = (self.route,)
            return nodes
