"""`store_conf`: LazyLLM's own dictionary, as a tutorial would write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from confrag.schema.base import Count, EnvName, Name, Number, Spec

Seconds = Annotated[Number, Field(gt=0, le=86_400)]


def is_server(uri: object) -> bool:
    """Whether the `uri` of a store names a server; anything else is a path."""
    return isinstance(uri, str) and "://" in uri and not uri.startswith("file://")


class MapKwargs(Spec):
    """Arguments of LazyLLM's map store."""

    uri: Name | None = None
    """SQLite file for the text of the nodes; without it they are held in memory."""


class ChromaHNSW(Spec):
    """Chroma's HNSW index; what is left out takes values that find (nearly) everything."""

    space: Literal["cosine", "ip", "l2"] | None = None
    ef_construction: Count | None = None
    max_neighbors: Count | None = None
    ef_search: Count | None = None
    num_threads: Count | None = None
    batch_size: Count | None = None
    sync_threshold: Count | None = None
    resize_factor: Annotated[Number, Field(gt=1, le=100)] | None = None


class ChromaIndexKwargs(Spec):
    """Chroma's collection configuration: ``{hnsw: {space: cosine, ef_construction: 200}}``."""

    hnsw: ChromaHNSW = Field(default_factory=lambda: ChromaHNSW())


class ChromaKwargs(Spec):
    """Arguments of LazyLLM's Chroma store."""

    dir: Name | None = None
    """Folder of the database; without it, a folder under `state_dir`."""
    uri: Name | None = None
    """The same as a path or URI, or a server: ``http://HOST:8000``."""
    tenant: Name | None = None
    """Server: the tenant; left out: Chroma's default one."""
    database: Name | None = None
    """Server: the database; left out: Chroma's default one."""
    token_env: EnvName | None = None
    """Server: name of the environment variable that holds the token, for ``Authorization`` and ``X-Chroma-Token``."""
    timeout_s: Seconds | None = None
    """Server: seconds that a call may take; left out: 10."""
    index_kwargs: ChromaIndexKwargs | None = None
    client_kwargs: Mapping[str, Any] = Field(default_factory=dict)
    """Further arguments of chromadb's client."""


def upper(value: object) -> object:
    """Text in capitals, for a name that Milvus writes so."""
    return value.upper() if isinstance(value, str) else value


class IndexKwargs(Spec):
    """One Milvus index."""

    embed_key: Name | None = None
    """Which embedding it is for; may be left out where there is only one."""
    index_type: Annotated[Name, BeforeValidator(upper)]
    metric_type: Annotated[Literal["COSINE", "IP", "L2", "HAMMING", "JACCARD"], BeforeValidator(upper)] = "COSINE"
    """Left out for an index of sparse vectors: IP."""
    params: Mapping[str, int | float | str] = Field(default_factory=dict)
    """Parameters of the index: M, efConstruction, nlist, m, ..."""
    search_params: Mapping[str, int | float] = Field(default_factory=dict)
    """Parameters of a search: ef, nprobe, search_list; changing them rebuilds nothing."""

    @model_validator(mode="before")
    @classmethod
    def _metric_of_sparse_vectors(cls, value: object) -> object:
        if not isinstance(value, Mapping) or "metric_type" in value:
            return value
        sparse = str(value.get("index_type")).upper().startswith("SPARSE_")
        return {**value, "metric_type": "IP"} if sparse else value


def _many(value: object) -> object:
    return [value] if isinstance(value, Mapping) else () if value is None else value


class MilvusKwargs(Spec):
    """Arguments of LazyLLM's Milvus store."""

    uri: Name | None = None
    """File of Milvus Lite, or a server: ``http://HOST:19530``; without it, a file under `state_dir`."""
    db_name: Name | None = None
    """Server: the database; left out: ``default``."""
    user_env: EnvName | None = None
    """Server: name of the environment variable that holds the user's name."""
    password_env: EnvName | None = None
    """Server: name of the environment variable that holds the password."""
    token_env: EnvName | None = None
    """Server: name of the environment variable that holds a token, in place of user and password."""
    timeout_s: Seconds | None = None
    """Server: seconds that a call may take; left out: 10."""
    index_timeout_s: Seconds | None = None
    """Server: seconds to wait for rows to be flushed, indexed and loaded; left out: 60."""
    index_kwargs: Annotated[tuple[IndexKwargs, ...], BeforeValidator(_many)] = ()
    """A dictionary, or a list of them with `embed_key`."""
    client_kwargs: Mapping[str, Any] = Field(default_factory=dict)
    """Further arguments of ``pymilvus.MilvusClient``."""


class SmartEmbeddingIndex(Spec):
    """LazyLLM's vectors-beside-segments index."""

    backend: Literal["milvus"]
    kwargs: MilvusKwargs = MilvusKwargs.model_construct()


class StoreIndices(Spec):
    """`store_conf.indices`."""

    smart_embedding_index: SmartEmbeddingIndex


class StoreSpec(Spec):
    """Base of the stores, told apart by `type`."""

    type: str


class MapStoreSpec(StoreSpec):
    """Text and vectors in memory; exact search. With `indices.smart_embedding_index`, vectors in Milvus."""

    type: Literal["map"] = "map"
    kwargs: MapKwargs = Field(default_factory=lambda: MapKwargs())
    indices: StoreIndices | None = None


class ChromaStoreSpec(StoreSpec):
    """Vectors in a Chroma database (a folder, or a server), text in a file beside them."""

    type: Literal["chroma"] = "chroma"
    kwargs: ChromaKwargs = Field(default_factory=lambda: ChromaKwargs())
    indices: StoreIndices | None = None


class MilvusStoreSpec(StoreSpec):
    """Vectors in Milvus (Lite: a file, or a server), text in a file beside them."""

    type: Literal["milvus"] = "milvus"
    kwargs: MilvusKwargs = Field(default_factory=lambda: MilvusKwargs())


class SegmentStore(Spec):
    """`store_conf.segment_store`: where the text of the nodes lives."""

    type: Literal["map"]
    kwargs: MapKwargs = Field(default_factory=lambda: MapKwargs())


class SplitStoreSpec(StoreSpec):
    """Text and vectors in two stores that are named one by one."""

    type: Literal["split"] = Field(default="split", exclude=True)
    segment_store: SegmentStore
    vector_store: Annotated[ChromaStoreSpec | MilvusStoreSpec, Field(discriminator="type")]

    @model_validator(mode="after")
    def _no_indices(self) -> SplitStoreSpec:
        if isinstance(self.vector_store, ChromaStoreSpec) and self.vector_store.indices:
            raise ValueError("'indices' belong to store_conf itself, not to its vector_store")
        return self


def tagged(value: object) -> object:
    """Tag a `store_conf` dictionary by its shape, so that one union covers both shapes that LazyLLM takes.

    A dictionary that names its two stores and comes to lie over the default ``type: map`` means the two stores.
    """
    if not isinstance(value, Mapping):
        return value
    parts = value.keys() & {"segment_store", "vector_store"}
    if parts and value.get("type", "map") == "map" and not value.keys() & {"kwargs", "indices"}:
        return {**value, "type": "split"}
    return value if "type" in value else {**value, "type": "map"}
