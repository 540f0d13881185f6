"""Milvus, strict: Milvus Lite's file in this process, or a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID
from lazyllm.tools.rag.store import MilvusStore
from numpy.typing import NDArray

from confrag.build.stores.failures import failing
from confrag.build.stores.filters import DOC_FIELDS, held_fields, listed, milvus_filter, satisfiable
from confrag.build.stores.milvus_client import Backend, MilvusClient, UnloadedError
from confrag.build.stores.milvus_collections import MilvusCollections
from confrag.build.stores.milvus_index import IndexKwargs, MilvusIndex
from confrag.build.stores.vectors import (
    VectorsOnly,
    check_in_step,
    declared,
    embedding_keys,
    server_prefix,
    similarity_from_distance,
)
from confrag.errors import ServiceError, StoreError
from confrag.schema.filters import Filters
from confrag.schema.store import is_server

_BATCH = 1000
_NO_WEIGHTS = {2**32 - 2: 1e-30}
"""Stored in place of a sparse vector without weights, which Milvus refuses: the last token there can be, next to 0."""


def store_conf(
    directory: Path,
    *,
    uri: str | None = None,
    index_kwargs: IndexKwargs = None,
    client_kwargs: Mapping[str, Any] | None = None,
    segments: str | None = None,
    db_name: str | None = None,
    **server: Any,
) -> dict[str, Any]:
    """LazyLLM's store_conf of vectors in Milvus and text in SQLite.

    Args:
        directory: where the data goes that has no other place; its name tells our collections on a server apart.
        uri: a server (``http://HOST:19530``), or Milvus Lite's data folder, usually named ``*.db``; ``milvus.db`` in
            `directory` when None.
        index_kwargs: LazyLLM's: ``{"index_type": ..., "metric_type": ..., "params": {...}}`` or a list of them with
            ``embed_key``; ``search_params`` (``ef``, ``nprobe``) may be added. See `milvus_index.index_for`.
        client_kwargs: further arguments of `pymilvus.MilvusClient`.
        segments: SQLite file of the text; when None, ``segments.db`` in `directory` for a server, otherwise
            ``<name>_segments.db`` beside `uri`.
        db_name: a database of a server; a local file has no use for it, in LazyLLM too.
        server: for a server, further arguments of `milvus_remote.RemoteServer`: the names of environment variables
            with the credentials, and seconds to wait.
    """
    vectors: dict[str, Any] = {"index_kwargs": index_kwargs, "client_kwargs": client_kwargs}
    if uri and is_server(uri):
        text = segments or str(directory / "segments.db")
        vectors["server"] = {**server, "db_name": db_name, "prefix": server_prefix(directory)}
    else:
        uri = str(Path(uri.removeprefix("file://")).expanduser()) if uri else str(directory / "milvus.db")
        text = segments or str(Path(uri).with_name(f"{Path(uri).stem}_segments.db"))
    return {
        "segment_store": {"type": "confrag_segments", "kwargs": {"uri": text}},
        "vector_store": {"type": "confrag_milvus", "kwargs": {"uri": uri, "segments": text, **vectors}},
    }


class StrictMilvusStore(VectorsOnly, MilvusStore):  # type: ignore[misc]
    """LazyLLM's Milvus store whose failures raise, that asks nothing twice, and that can be closed.

    A node group is a collection, each of its embeddings a field; of the metadata it holds the document's id
    and, as JSON, the declared fields.

    Scores, higher is better: COSINE and IP as they are, L2 ``1 / (1 + d)`` of the squared Euclidean distance d.

    Raises:
        StoreError: by every method, when Milvus fails or a collection is missing though its text is stored.
        ServiceError: by every method, when a server does not answer; once it does, the next call succeeds.
        UserError: by `connect`, for credentials that a server refuses; by the first write, for an index that there is
            not.
    """

    __lazyllm_registry_key__ = "confrag_milvus"

    def __init__(
        self,
        uri: str,
        segments: str,
        index_kwargs: IndexKwargs = None,
        client_kwargs: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(uri=uri, index_kwargs=index_kwargs)
        self._backend = _backend(uri, client_kwargs or {}, server)
        self.place = self._backend.place
        self._segments_uri = segments
        self._collections = MilvusCollections(self._backend, index_kwargs)
        self._milvus: MilvusClient | None = None
        self._doc_fields: tuple[str, ...] = ()
        self._in_step: set[str] = set()
        self._failed = False
        self._guard = threading.RLock()

    def try_read_dims_from_schema(self, collections: list[str]) -> tuple[dict[str, int], dict[str, Any]]:
        """Nothing: the dimension is that of the vectors written."""
        return {}, {}

    def connect(self, *args: Any, global_metadata_desc: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Open the folder, or make it; or connect to the server.

        Args:
            global_metadata_desc: the metadata that searches may be filtered by.
        """
        self._doc_fields = declared(global_metadata_desc)
        with self._guard, self._doing("opening"):
            if self._milvus is None:
                self._milvus = self._backend.open()

    def upsert(self, collection_name: str, data: list[dict[str, Any]]) -> bool:
        """Write the vectors of segments; those of a known uid are replaced."""
        keys = embedding_keys(data, self.place)
        if not keys:
            return True
        with self._guard:
            if self._open(collection_name) is None:
                with self._doing(f"creating collection '{collection_name}'"):
                    first, with_metadata = data[0]["embedding"], bool(self._doc_fields)
                    self._collections.create(self._client, collection_name, first, with_metadata=with_metadata)
            with self._writing(f"writing collection '{collection_name}'"):
                self._changes(collection_name)
                for start in range(0, len(data), _BATCH):
                    rows = [self._row(segment, keys) for segment in data[start : start + _BATCH]]
                    self._client.upsert(self._backend.name(collection_name), rows, **self._backend.call)
        return True

    def delete(self, collection_name: str, criteria: Mapping[str, Any] | None = None, **kwargs: Any) -> bool:
        """Delete the vectors with these uids, or of these documents (docid); without criteria, the collection."""
        with self._guard:
            if not criteria:
                with self._doing(f"deleting collection '{collection_name}'"):
                    self._in_step.discard(collection_name)
                    self._collections.drop(self._client, collection_name)
            elif self._open(collection_name) is not None:
                with self._writing(f"deleting from collection '{collection_name}'"):
                    self._changes(collection_name)
                    for selection in _selections(criteria):
                        name = self._backend.name(collection_name)
                        self._client.delete(name, **selection, **self._backend.call)
        return True

    def search(
        self,
        collection_name: str,
        query: str | None = None,
        query_embedding: Any = None,
        topk: int | None = 10,
        filters: Filters | None = None,
        embed_key: str | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """The nearest nodes as ``{"uid": ..., "score": ...}``, best first."""
        indices = self._searchable(collection_name)
        if indices is None or not satisfiable(filters or ()):
            return []
        index = indices.get(str(embed_key))
        if index is None:
            held = ", ".join(indices)
            raise StoreError(f"{self.place}: '{collection_name}' has no embedding '{embed_key}': it has {held}")
        limit = topk or max(1, self.count_vectors(collection_name))
        sparse = isinstance(query_embedding, Mapping)
        if sparse and not query_embedding:
            return []
        vector = query_embedding if sparse else np.asarray(query_embedding, np.float32)
        dim = self._collections.dim(collection_name, str(embed_key))
        if not sparse and len(vector) != dim:
            raise StoreError(
                f"{self.place}: the vectors '{embed_key}' of '{collection_name}' have {dim} dimensions, that of the "
                f"query {len(vector)}: they come from different models; ingest again"
            )
        score = similarity_from_distance if index.metric_type == "L2" else float
        found = self._read(
            f"searching collection '{collection_name}'",
            collection_name,
            lambda client, name, **options: client.search(
                name,
                data=[vector],
                limit=limit,
                anns_field=self._collections.field(str(embed_key)),
                filter=milvus_filter(filters or ()),
                search_params=index.searching(limit),
                **options,
            ),
        )
        return [{"uid": hit.id, "score": score(hit.distance)} for hit in found[0]]

    def count_vectors(self, collection_name: str) -> int:
        """Number of rows of a collection."""
        if self._open(collection_name) is None:
            return 0
        counted = self._read(
            "counting",
            collection_name,
            lambda client, name, **options: client.query(name, filter="", output_fields=["count(*)"], **options),
            everything=True,
        )
        return int(counted[0]["count(*)"])

    def vectors(self, collection: str, embed_key: str, uids: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
        """Uids and vectors `[n, dim] float32` of those among some nodes that have one; `[0, 0]`: none has."""
        field = self._collections.field(embed_key)
        rows: list[Mapping[str, Any]] = []
        for start in range(0, len(uids) if self._open(collection) is not None else 0, _BATCH):
            rows += self._read(
                f"reading the vectors of collection '{collection}'",
                collection,
                lambda client, name, batch=uids[start : start + _BATCH], **options: client.query(
                    name, filter=f"uid in {json.dumps(list(batch))}", output_fields=["uid", field], **options
                ),
                everything=start == 0,
            )
        matrix = np.array([row[field] for row in rows], np.float32) if rows else np.zeros((0, 0), np.float32)
        return [str(row["uid"]) for row in rows], matrix

    def persist(self) -> None:
        """Make sure that what was written outlasts this process; searches are slow until `finish`."""
        with self._guard:
            for collection in sorted(self._collections.unfinished):
                with self._writing(f"flushing collection '{collection}'"):
                    self._backend.persist(self._client, self._backend.name(collection))

    def finish(self) -> None:
        """Flush what was written and see to it that it is indexed: other rows are searched fifty times slower."""
        with self._guard:
            for collection in sorted(self._collections.unfinished):
                name = self._backend.name(collection)
                with self._writing(f"building the index of collection '{collection}'"):
                    self._backend.flush(self._client, name)
                    rows = self.count_vectors(collection)
                    if rows:
                        self._collections.build(self._client, collection, rows)
                    self._backend.settle(self._client, name)
                self._collections.unfinished.discard(collection)

    def close(self) -> None:
        """Close the connection, and free a folder for the next client."""
        with self._guard:
            client, self._milvus = self._milvus, None
            self._forget()
            self._collections.unfinished.clear()
            if client is not None:
                client.close()
                self._backend.close()

    @property
    def _client(self) -> MilvusClient:
        if self._milvus is None:
            raise StoreError(f"{self.place} is not open")
        return self._milvus

    def _read(self, action: str, collection: str, call: Callable[..., Any], everything: bool = False) -> Any:
        """The result of a call ``call(client, name, **options)`` that reads an open collection.

        A server that was started anew since the last call may have to load the collection first.
        """

        def ask() -> Any:
            with self._doing(action), self._backend.reading(collection, everything) as options:
                return call(self._client, self._backend.name(collection), **options)

        try:
            return ask()
        except UnloadedError:
            self._open(collection)
            return ask()

    @contextmanager
    def _doing(self, action: str) -> Iterator[None]:
        """`failing`; when a server went away, what is known of it is asked for again when it is back."""
        try:
            with failing(action, self.place, self._backend.explain):
                yield
        except ServiceError:
            self._forget()
            raise

    @contextmanager
    def _writing(self, action: str) -> Iterator[None]:
        """`_doing`; nothing is written any more after a failure."""
        if self._failed:
            # Milvus Lite would delete the log of the rows that it could not store with the next ones that it can.
            raise StoreError(f"{self.place}: writing failed before, and more would lose rows; close it and start again")
        try:
            with self._doing(action):
                yield
        except StoreError:
            self._failed = True
            raise

    def _forget(self) -> None:
        self._collections.forget()
        self._in_step = set()

    def _changes(self, collection: str) -> None:
        self._collections.unfinished.add(collection)
        self._backend.wrote(collection)

    def _row(self, segment: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
        embedding = segment["embedding"]
        empty = {key for key in keys if isinstance(embedding[key], Mapping) and not embedding[key]}
        vectors = {self._collections.field(key): _NO_WEIGHTS if key in empty else embedding[key] for key in keys}
        row = {"uid": segment["uid"], RAG_DOC_ID: segment["doc_id"], **vectors}
        if self._doc_fields:
            row[DOC_FIELDS] = held_fields(segment.get("global_meta") or {}, self._doc_fields)
        return row

    def _searchable(self, name: str) -> dict[str, MilvusIndex] | None:
        """The collection's indices by embedding, compared with the text beside it before the first search."""
        indices = self._open(name)
        if name not in self._in_step:
            rows = self.count_vectors(name)
            check_in_step(self.place, name, rows, self._segments_uri)
            if rows:
                self._in_step.add(name)
        return indices

    def _open(self, collection: str) -> dict[str, MilvusIndex] | None:
        """The collection's indices by embedding, asked for once; None when nothing was written."""
        if (known := self._collections.known(collection)) is not None:
            return known
        with self._guard, self._doing(f"opening collection '{collection}'"):
            return self._collections.open(self._client, collection)


def _backend(uri: str, client_kwargs: Mapping[str, Any], server: Mapping[str, Any] | None) -> Backend:
    if server is not None:
        from confrag.build.stores.milvus_remote import RemoteServer

        return RemoteServer(uri, client_kwargs=client_kwargs, **server)
    # It brings FAISS along.
    from confrag.build.stores.milvus_server import LocalFile

    return LocalFile(uri, client_kwargs)


def _selections(criteria: Mapping[str, Any]) -> list[dict[str, Any]]:
    """LazyLLM's criteria as arguments of deletions that are each of a sensible length."""
    if set(criteria) not in ({"uid"}, {RAG_DOC_ID}):
        raise StoreError(f"vectors can be deleted by uid or by {RAG_DOC_ID}, not by {', '.join(criteria)}")
    ((name, value),) = criteria.items()
    values = listed(value)
    batches = [values[start : start + _BATCH] for start in range(0, len(values), _BATCH)]
    return [{"ids": batch} if name == "uid" else {"filter": _within(batch)} for batch in batches]


def _within(documents: list[Any]) -> str:
    return f"{RAG_DOC_ID} in {json.dumps(documents, ensure_ascii=False)}"
