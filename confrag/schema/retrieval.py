"""`retrievers`: what is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from confrag.schema.base import Name, Number, Spec, TopK
from confrag.schema.merges import Priority, Weight

SIMILARITIES: Mapping[str, Literal["embedding", "text"]] = {
    "cosine": "embedding",
    "bm25": "text",
    "bm25_chinese": "text",
}
"""Similarity -> what it compares."""

INDICES = ("default", "smart_embedding_index")
"""Values of `retrievers.*.index` that are no names of `indices`."""


class RetrieverSpec(Spec):
    """One route into the corpus."""

    group: Name
    """Node group that is searched."""
    target: Name | None = None
    """Node group whose nodes are returned (parents or children of the hits); left out: `group` itself."""
    topk: TopK = 6
    similarity: Literal["cosine", "bm25", "bm25_chinese"] = "cosine"
    """By vectors, or by words, English or Chinese."""
    similarity_cut_off: Number | None = None
    """Hits below this score are dropped."""
    index: Name = "default"
    """Name of an index below `indices`; one of texts goes without `similarity`. ``smart_embedding_index``: the one that
    ``store_conf.indices`` declares."""
    embed_keys: tuple[Name, ...] | None = None
    """Names of embedding models to search by; left out: the one embedding model that there is.

    By several, a node has the best of its scores; all of them dense, or all sparse (inner product), since the scores of
    the two do not compare: dense and sparse are two retrievers, fused in a ``parallel``.
    """
    filters: Mapping[Name, Any] = Field(default_factory=dict)
    """Which documents are searched: field -> value, list of allowed values, or ``{">=": value}``; all must hold."""
    window: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    """How many neighbours on each side, in the order of the text, come along with a hit, directly behind it."""
    weight: Weight = 1.0
    """Weight of the route where a merge rule names none."""
    priority: Priority = "normal"
    """Priority of the route where the rule `priority` names none."""
