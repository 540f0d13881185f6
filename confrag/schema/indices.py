"""`indices`: indices of one's own beside the store, by name; ``retrievers.NAME.index`` selects one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from confrag.schema.base import Family, Flag, Name, Spec

INDEX_KINDS = Family("index")

Compares = Literal["embedding", "text"]
"""What an index compares a question with: vectors of nodes, or their texts."""


class IndexSpec(Spec):
    """Base of the indices, told apart by `kind`. Changing one never changes what is stored."""

    compares: ClassVar[Compares] = "text"
    """Set to ``embedding`` by an index of vectors, which also has a key `embed_key`."""

    kind: str
    group: Name
    """Node group that it finds."""


class EmbeddingIndexSpec(IndexSpec):
    """Base of the indices of vectors."""

    compares = "embedding"

    embed_key: Name | None = None
    """Embedding that it searches; left out: the only one of the node group, or the only one that there is."""


class _WordsSpec(IndexSpec):
    words: Flag = False
    """Look up each word of the question by itself: a node scores the sum of ln(1 + N / n) over the words that find it,
    n being how many of the N nodes a word finds. Otherwise the question is looked up as a whole."""
    ignore_case: Flag = False
    """Take capital and small letters for the same."""
    match: Literal["exact", "prefix"] = "exact"
    """``exact``: the node's text is what is looked up, and scores 1. ``prefix``: it begins with what is looked up, and
    scores the share of its letters that this makes up."""


class LinearSpec(_WordsSpec):
    """Compares what is looked up with the text of every node, one after the other."""

    kind: Literal["linear"]


class TrieSpec(_WordsSpec):
    """Finds nodes by their whole text or its beginning in a trie, as `linear` does and a thousand times faster."""

    kind: Literal["trie"]


class HNSWSpec(EmbeddingIndexSpec):
    """Nearest vectors in a hierarchical navigable small world graph (hnswlib), in memory and kept on disk."""

    kind: Literal["hnsw"]
    M: Annotated[int, Field(strict=True, ge=2, le=256)] = 16
    """Links of a node on each layer. More: better found, more memory, slower to build."""
    ef_construction: Annotated[int, Field(strict=True, ge=8, le=10_000)] = 200
    """Candidates that are looked at for the links of a new node."""
    ef: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 64
    """Candidates that a search looks at; never fewer than it is to find. More: better found, slower."""
    space: Literal["cosine", "ip", "l2"] = "cosine"
    """Scores, higher is better: the cosine, the inner product, or 1 / (1 + d) of the squared Euclidean distance d."""
    num_threads: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = None
    """Threads that build it; left out: one for each core."""
