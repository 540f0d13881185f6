"""Which sort of vectors an embedding model gives, told without loading it, and what follows for stores and routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from confrag.config.raw import Raw, table
from confrag.config.recall_checks import steps
from confrag.errors import Problem
from confrag.registry.catalogue import CATALOGUE
from confrag.registry.sources import ELSEWHERE
from confrag.schema.retrieval import SIMILARITIES

__all__ = ["of_one_sort", "sort_of_vectors", "sparse_vectors"]


_DENSE_ONLY = {"map": "the map store", "chroma": "Chroma"}
_DENSE = "compares dense vectors, and this embedding gives sparse ones; name another embedding model"


def sort_of_vectors(model: Raw) -> str | None:
    """``floating`` or ``sparse``, as `confrag.registry.indices` has them; None for a plugin's, which may be either."""
    if model.get("kind") in ELSEWHERE:
        return "floating"  # whatever the server has, it is read as a list of numbers
    if model.get("kind") != "local":
        return None
    entry = CATALOGUE.get(str(model.get("model")))
    return "sparse" if entry is not None and entry.sparse else "floating"


def of_one_sort(path: str, keys: list[str], embedders: Mapping[str, Raw]) -> Iterator[Problem]:
    """Refuse a route by dense and by sparse vectors: it takes each node's best score, and these do not compare."""
    sparse, dense = (
        [k for k in keys if sort_of_vectors(embedders.get(k, {})) == sort] for sort in ("sparse", "floating")
    )
    if sparse and dense:
        yield Problem(
            path,
            f"'{sparse[0]}' gives sparse vectors, '{dense[0]}' dense ones, and their scores cannot be compared; make "
            "two retrievers, and fuse them in a `parallel` (as in recall=hybrid_sparse)",
            keys,
        )


def sparse_vectors(raw: Raw) -> Iterator[Problem]:
    """Sparse vectors lie in a store that has them, and whoever is given some can compare them."""
    models = table(raw, "models")
    embedders = {name: model for name, model in models.items() if model.get("role") == "embed"}
    sparse = [name for name, model in embedders.items() if sort_of_vectors(model) == "sparse"]
    used = [key for key in _used(raw, embedders) if key in sparse]
    if used:
        yield from _stored(raw, used[0])
    for path, step in steps("recall", raw.get("recall")):
        if step.get("kind") == "mmr" and step.get("model", "embed") in sparse:
            yield Problem(f"{path}.model", f"mmr {_DENSE}", step.get("model", "embed"))
    for name, index in table(raw, "indices").items():
        key = index.get("embed_key") or next(iter(embedders), None)
        if index.get("kind") == "hnsw" and key in sparse:
            yield Problem(f"indices.{name}.embed_key", f"an index of the kind hnsw {_DENSE}", key)


def _stored(raw: Raw, key: str) -> Iterator[Problem]:
    conf = raw.get("store_conf", {})
    if not isinstance(conf, Mapping) or conf.get("indices"):
        return
    vectors = conf.get("vector_store")
    kind = str(vectors.get("type") if isinstance(vectors, Mapping) else conf.get("type", "map"))
    if kind in _DENSE_ONLY:
        yield Problem(
            "store_conf.vector_store.type" if isinstance(vectors, Mapping) else "store_conf.type",
            f"{_DENSE_ONLY[kind]} holds dense vectors only, and the embedding '{key}' gives sparse ones; take Milvus "
            "(store_conf=milvus_hybrid), or declare store_conf.indices.smart_embedding_index",
            kind,
        )


def _used(raw: Raw, embedders: Mapping[str, Raw]) -> Iterator[str]:
    """The embeddings that retrievers and node groups name, or a retriever takes because there is but one."""
    for retriever in table(raw, "retrievers").values():
        keys = retriever.get("embed_keys")
        if isinstance(keys, list):
            yield from (key for key in keys if isinstance(key, str))
        elif SIMILARITIES.get(str(retriever.get("similarity", "cosine"))) == "embedding" and len(embedders) == 1:
            yield from embedders
    for group in table(raw, "node_groups").values():
        keys = group.get("embed")
        yield from (key for key in keys if isinstance(key, str)) if isinstance(keys, list) else ()
