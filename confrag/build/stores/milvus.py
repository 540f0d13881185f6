"""Milvus Lite in a folder, strict."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID
from lazyllm.tools.rag.store import MilvusStore
from lazyllm.tools.rag.store.store_base import EMBED_PREFIX

from confrag.build.stores.failures import failing
from confrag.build.stores.filters import allowed
from confrag.build.stores.milvus_index import MilvusIndex, index_for
from confrag.build.stores.milvus_server import FieldType, LocalServer, MilvusClient
from confrag.build.stores.vectors import (
    VectorsOnly,
    check_in_step,
    document_batches,
    embedding_keys,
    similarity_from_distance,
)
from confrag.errors import StoreError, UserError

_BATCH = 1000
IndexKwargs = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


def store_conf(
    directory: Path,
    *,
    uri: str | None = None,
    index_kwargs: IndexKwargs = None,
    client_kwargs: Mapping[str, Any] | None = None,
    segments: str | None = None,
    db_name: str | None = None,
) -> dict[str, Any]:
    """LazyLLM's store_conf of vectors in Milvus Lite and text in SQLite.

    Args:
        directory: where the data goes that has no other place.
        uri: Milvus Lite's data folder, usually named ``*.db``; ``milvus.db`` in `directory` when None.
        index_kwargs: LazyLLM's: ``{"index_type": ..., "metric_type": ..., "params": {...}}`` or a list of them with
            ``embed_key``; ``search_params`` (``ef``, ``nprobe``) may be added. See `milvus_index.index_for`.
        client_kwargs: further arguments of `pymilvus.MilvusClient`, such as ``timeout``.
        segments: SQLite file of the text; ``<name>_segments.db`` beside `uri` when None.
        db_name: a database of a Milvus server; a local file has no use for it, in LazyLLM too.

    Raises:
        UserError: `uri` names a server.
    """
    if uri and "://" in uri:
        raise UserError(f"store_conf: '{uri}' is a Milvus server, and only Milvus Lite's local files are supported")
    uri = str(Path(uri).expanduser()) if uri else str(directory / "milvus.db")
    text = segments or str(Path(uri).with_name(f"{Path(uri).stem}_segments.db"))
    vectors = {"uri": uri, "segments": text, "index_kwargs": index_kwargs, "client_kwargs": client_kwargs}
    return {
        "segment_store": {"type": "confrag_segments", "kwargs": {"uri": text}},
        "vector_store": {"type": "confrag_milvus", "kwargs": vectors},
    }


class StrictMilvusStore(VectorsOnly, MilvusStore):  # type: ignore[misc]
    """LazyLLM's Milvus store whose failures raise, that asks nothing twice, and that can be closed.

    A node group is a collection, each of its embeddings a field; of the metadata it holds the document's id.

    Scores, higher is better: COSINE and IP as they are, L2 ``1 / (1 + d)`` of the squared Euclidean distance d.

    Raises:
        StoreError: by every method, when Milvus fails or a collection is missing though its text is stored.
        UserError: by the first write, for an index that Milvus Lite does not have.
    """

    __lazyllm_registry_key__ = "confrag_milvus"

    def __init__(
        self,
        uri: str,
        segments: str,
        index_kwargs: IndexKwargs = None,
        client_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(uri=uri, index_kwargs=index_kwargs)
        self.place = f"Milvus store '{uri}'"
        self._path, self._segments_uri, self._wanted = uri, segments, index_kwargs
        self._client_arguments = dict(client_kwargs or {})
        self._server: LocalServer | None = None
        self._milvus: Any = None
        self._indices: dict[str, dict[str, MilvusIndex]] = {}
        self._dims: dict[tuple[str, str], int] = {}
        self._in_step: set[str] = set()
        self._written: set[str] = set()
        self._guard = threading.RLock()

    def try_read_dims_from_schema(self, collections: list[str]) -> tuple[dict[str, int], dict[str, Any]]:
        """Nothing: the dimension is that of the vectors written."""
        return {}, {}

    def connect(self, *args: Any, **kwargs: Any) -> None:
        """Open the folder, or make it."""
        with self._guard:
            if self._milvus is not None:
                return
            server = LocalServer.acquire(self._path)
            try:
                with failing("opening", self.place):
                    # A connection of its own: shared ones stay open after close().
                    self._milvus = MilvusClient(server.uri, dedicated=True, **self._client_arguments)
            except BaseException:
                server.release()
                raise
            self._server = server

    def upsert(self, collection_name: str, data: list[dict[str, Any]]) -> bool:
        """Write the vectors of segments; those of a known uid are replaced."""
        keys = embedding_keys(data, self.place)
        if not keys:
            return True
        with self._guard:
            if self._open(collection_name) is None:
                self._create(collection_name, data[0]["embedding"])
            with failing(f"writing collection '{collection_name}'", self.place):
                self._written.add(collection_name)
                for start in range(0, len(data), _BATCH):
                    rows = [_to_row(segment, keys) for segment in data[start : start + _BATCH]]
                    self._client.upsert(collection_name, rows)
        return True

    def delete(self, collection_name: str, criteria: Mapping[str, Any] | None = None, **kwargs: Any) -> bool:
        """Delete the vectors with these uids, or of these documents (docid); without criteria, the collection."""
        with self._guard:
            if self._open(collection_name) is None:
                return True
            with failing(f"deleting from collection '{collection_name}'", self.place):
                if not criteria:
                    self._indices.pop(collection_name, None)
                    self._in_step.discard(collection_name)
                    self._written.discard(collection_name)
                    self._client.drop_collection(collection_name)
                    return True
                self._written.add(collection_name)
                for selection in _selections(criteria):
                    self._client.delete(collection_name, **selection)
        return True

    def search(
        self,
        collection_name: str,
        query: str | None = None,
        query_embedding: Any = None,
        topk: int | None = 10,
        filters: Mapping[str, Any] | None = None,
        embed_key: str | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """The nearest nodes as ``{"uid": ..., "score": ...}``, best first."""
        indices = self._searchable(collection_name)
        if indices is None:
            return []
        index = indices.get(str(embed_key))
        if index is None:
            held = ", ".join(indices)
            raise StoreError(f"{self.place}: '{collection_name}' has no embedding '{embed_key}': it has {held}")
        limit = topk or max(1, self.count_vectors(collection_name))
        sparse = isinstance(query_embedding, Mapping)
        vector = query_embedding if sparse else np.asarray(query_embedding, np.float32)
        dim = self._dims.get((collection_name, str(embed_key)))
        if not sparse and len(vector) != dim:
            raise StoreError(
                f"{self.place}: the vectors '{embed_key}' of '{collection_name}' have {dim} dimensions, that of the "
                f"query {len(vector)}: they come from different models; ingest again"
            )
        score = similarity_from_distance if index.metric_type == "L2" else float
        hits = []
        for documents in document_batches(self._segments_uri, collection_name, filters):
            with failing(f"searching collection '{collection_name}'", self.place):
                found = self._client.search(
                    collection_name,
                    data=[vector],
                    limit=limit,
                    anns_field=EMBED_PREFIX + str(embed_key),
                    filter="" if documents is None else _within(documents),
                    search_params=index.searching(limit),
                )
                hits += [{"uid": hit["uid"], "score": score(hit["distance"])} for hit in found[0]]
        return sorted(hits, key=lambda hit: -hit["score"])[:topk]

    def count_vectors(self, collection_name: str) -> int:
        """Number of rows of a collection."""
        if self._open(collection_name) is None:
            return 0
        with failing("counting", self.place):
            return int(self._client.query(collection_name, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def finish(self) -> None:
        """Flush what was written and build its index: unflushed rows are searched fifty times slower.

        A collection's first index is built here, when the number of its rows is known.
        """
        with self._guard:
            for name in sorted(self._written):
                with failing(f"building the index of collection '{name}'", self.place):
                    self._client.flush(name)
                    self._wait_for_index(name)
                    built = set(self._client.list_indexes(name))
                    rows = self.count_vectors(name)
                    for key, index in self._indices[name].items():
                        if EMBED_PREFIX + key not in built and rows:
                            self._build(name, key, index, rows)
                    self._wait_for_index(name)
                self._written.discard(name)

    def close(self) -> None:
        """Flush, end the server and its threads and free the folder for the next client."""
        with self._guard:
            client, server, self._milvus, self._server = self._milvus, self._server, None, None
            self._indices.clear()
            self._in_step.clear()
            self._written.clear()
            if client is not None:
                client.close()
            if server is not None:
                server.release()

    @property
    def _client(self) -> Any:
        if self._milvus is None:
            raise StoreError(f"{self.place} is not open")
        return self._milvus

    def _wait_for_index(self, name: str) -> None:
        if self._server is None:
            raise StoreError(f"{self.place} is not open")
        self._server.wait_for_index(name)

    def _searchable(self, name: str) -> dict[str, MilvusIndex] | None:
        """The collection's indices by embedding, compared with the text beside it before the first search."""
        indices = self._open(name)
        if name not in self._in_step:
            rows = self.count_vectors(name)
            check_in_step(self.place, name, rows, self._segments_uri)
            if rows:
                self._in_step.add(name)
        return indices

    def _open(self, name: str) -> dict[str, MilvusIndex] | None:
        """The collection's indices by embedding, asked for once; None when nothing was written."""
        if (known := self._indices.get(name)) is not None:
            return known
        with self._guard, failing(f"opening collection '{name}'", self.place):
            if name in self._indices:
                return self._indices[name]
            if not self._client.has_collection(name):
                return None
            fields = self._client.describe_collection(name)["fields"]
            vectors = {f["name"].removeprefix(EMBED_PREFIX): f for f in fields if f["name"].startswith(EMBED_PREFIX)}
            indices = {
                key: index_for(self._wanted, key, sparse=field["type"] == FieldType.SPARSE_FLOAT_VECTOR)
                for key, field in vectors.items()
            }
            self._dims |= {(name, key): int(field["params"].get("dim", 0)) for key, field in vectors.items()}
            built = set(self._client.list_indexes(name))
            for key, index in indices.items():
                if EMBED_PREFIX + key in built:
                    self._check_built(name, key, index)
                else:
                    self._written.add(name)
            self._client.load_collection(name)
            self._indices[name] = indices
            return indices

    def _check_built(self, name: str, key: str, index: MilvusIndex) -> None:
        built = self._client.describe_index(name, EMBED_PREFIX + key)
        found, wanted = (built["index_type"], built["metric_type"]), (index.index_type, index.metric_type)
        if found != wanted:
            raise StoreError(
                f"{self.place}: the index of collection '{name}' was built as {' '.join(found)}, and "
                f"{' '.join(wanted)} is configured. Delete it and ingest again, or configure the index that it has."
            )

    def _create(self, name: str, embedding: Mapping[str, Any]) -> None:
        """A collection with a field for every embedding; no index yet."""
        indices = {key: index_for(self._wanted, key, isinstance(v, Mapping)) for key, v in embedding.items()}
        with failing(f"creating collection '{name}'", self.place):
            schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("uid", FieldType.VARCHAR, is_primary=True, max_length=512)
            schema.add_field(RAG_DOC_ID, FieldType.VARCHAR, max_length=512)
            for key, vector in sorted(embedding.items()):
                if isinstance(vector, Mapping):
                    schema.add_field(EMBED_PREFIX + key, FieldType.SPARSE_FLOAT_VECTOR)
                else:
                    schema.add_field(EMBED_PREFIX + key, FieldType.FLOAT_VECTOR, dim=len(vector))
                    self._dims[name, key] = len(vector)
            self._client.create_collection(name, schema=schema)
            self._client.load_collection(name)
        self._indices[name] = indices

    def _build(self, name: str, key: str, index: MilvusIndex, rows: int) -> None:
        field = EMBED_PREFIX + key
        params = self._client.prepare_index_params()
        kind = {"index_type": index.index_type, "metric_type": index.metric_type}
        params.add_index(field, **kind, params=index.building(rows))
        # Not sync: that sleeps half a second and asks for a call that Milvus Lite does not have. It builds inline.
        self._client.create_index(name, params, sync=False)


def _to_row(segment: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    vectors = {EMBED_PREFIX + key: segment["embedding"][key] for key in keys}
    return {"uid": segment["uid"], RAG_DOC_ID: segment["doc_id"], **vectors}


def _selections(criteria: Mapping[str, Any]) -> list[dict[str, Any]]:
    """LazyLLM's criteria as arguments of deletions that are each of a sensible length."""
    if set(criteria) not in ({"uid"}, {RAG_DOC_ID}):
        raise StoreError(f"vectors can be deleted by uid or by {RAG_DOC_ID}, not by {', '.join(criteria)}")
    ((name, value),) = criteria.items()
    values = allowed(value)
    batches = [values[start : start + _BATCH] for start in range(0, len(values), _BATCH)]
    return [{"ids": batch} if name == "uid" else {"filter": _within(batch)} for batch in batches]


def _within(documents: list[Any]) -> str:
    return f"{RAG_DOC_ID} in {json.dumps(documents, ensure_ascii=False)}"
