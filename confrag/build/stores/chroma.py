"""Chroma in a folder, strict."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings
from chromadb.errors import NotFoundError
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID
from lazyllm.tools.rag.store import ChromaStore

from confrag.build.stores.failures import failing
from confrag.build.stores.filters import allowed
from confrag.build.stores.vectors import (
    VectorsOnly,
    check_in_step,
    document_batches,
    embedding_keys,
    similarity_from_distance,
)
from confrag.errors import StoreError, UserError

_BATCH = 1000
# Chroma's own (16, 100, 100) lose documents: recall@10 is 0.77 on 10,000 random vectors, 0.99 with these. It writes
# its index to disk every `sync_threshold` rows, 1000 by itself, and a deletion before that takes seconds.
_HNSW = {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 200, "sync_threshold": 100}


def store_conf(
    directory: Path,
    *,
    dir: str | None = None,  # noqa: A002  (LazyLLM's name)
    index_kwargs: Mapping[str, Any] | None = None,
    client_kwargs: Mapping[str, Any] | None = None,
    segments: str | None = None,
    uri: str | None = None,
) -> dict[str, Any]:
    """LazyLLM's store_conf of vectors in Chroma and text in SQLite.

    Args:
        directory: where the data goes that has no other place.
        dir: folder of the Chroma database; ``chroma`` in `directory` when None.
        index_kwargs: Chroma's collection configuration, ``{"hnsw": {"space": "cosine", ...}}``; what it leaves out
            takes values that find (nearly) everything.
        client_kwargs: further arguments of `chromadb.PersistentClient`.
        segments: SQLite file of the text; ``segments.db`` in the folder when None.
        uri: the folder as a path or a ``file://`` URI; goes before `dir`.

    Raises:
        UserError: `uri` names a server.
    """
    if uri and "://" in uri and not uri.startswith("file://"):
        raise UserError(f"store_conf: '{uri}' is a Chroma server, and only local folders are supported")
    named = (uri or "").removeprefix("file://") or dir
    folder = str(Path(named).expanduser()) if named else str(directory / "chroma")
    text = segments or str(Path(folder) / "segments.db")
    vectors = {"dir": folder, "segments": text, "index_kwargs": index_kwargs, "client_kwargs": client_kwargs}
    return {
        "segment_store": {"type": "confrag_segments", "kwargs": {"uri": text}},
        "vector_store": {"type": "confrag_chroma", "kwargs": vectors},
    }


class StrictChromaStore(VectorsOnly, ChromaStore):  # type: ignore[misc]
    """LazyLLM's Chroma store whose failures raise, that finds its collections after a restart, and that can be closed.

    Scores, higher is better: space ``cosine`` the cosine, ``ip`` the inner product, ``l2`` ``1 / (1 + d)`` of the
    squared Euclidean distance d. Every embedding of a node group is a Chroma collection of its own.

    Raises:
        StoreError: by every method, when Chroma fails or a collection is missing though its text is stored.
    """

    __lazyllm_registry_key__ = "confrag_chroma"

    def __init__(
        self,
        dir: str,  # noqa: A002
        segments: str,
        index_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        given = dict(index_kwargs or {})
        configuration = {**given, "hnsw": {**_HNSW, **(given.get("hnsw") or {})}}
        super().__init__(dir=dir, index_kwargs=configuration, client_kwargs=dict(client_kwargs or {}))
        self.place = f"Chroma store '{dir}'"
        self._path, self._segments_uri = dir, segments
        self._configuration, self._client_arguments = configuration, dict(client_kwargs or {})
        self._chroma: Any = None
        self._keys: tuple[str, ...] = ()
        self._collections: dict[str, Any] = {}
        self._in_step: set[tuple[str, str]] = set()
        self._guard = threading.RLock()

    def connect(self, embed: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Open the folder, or make it."""
        self._keys = tuple(sorted(embed or ()))
        with self._guard, failing("opening", self.place):
            if self._chroma is not None:
                return
            Path(self._path).mkdir(parents=True, exist_ok=True)
            settings = Settings(anonymized_telemetry=False)
            try:
                self._chroma = chromadb.PersistentClient(
                    path=self._path, **{"settings": settings, **self._client_arguments}
                )
            except BaseException:
                # Chroma keeps the half-opened database by path and would hand it out to the next client.
                SharedSystemClient._identifier_to_system.pop(self._path, None)
                SharedSystemClient._identifier_to_refcount.pop(self._path, None)
                raise

    def upsert(self, collection_name: str, data: list[dict[str, Any]]) -> bool:
        """Write the vectors of segments; those of a known uid are replaced."""
        for key in embedding_keys(data, self.place):
            if isinstance(data[0]["embedding"][key], Mapping):
                raise StoreError(f"{self.place}: holds dense vectors only, and embedding '{key}' is sparse")
            collection = self._open(collection_name, key, create=True)
            with self._guard, failing(f"writing collection '{collection_name}'", self.place):
                for start in range(0, len(data), _BATCH):
                    batch = data[start : start + _BATCH]
                    collection.upsert(
                        ids=[segment["uid"] for segment in batch],
                        embeddings=np.asarray([segment["embedding"][key] for segment in batch], np.float32),
                        metadatas=[{RAG_DOC_ID: segment["doc_id"]} for segment in batch],
                    )
        return True

    def delete(self, collection_name: str, criteria: Mapping[str, Any] | None = None, **kwargs: Any) -> bool:
        """Delete the vectors with these uids, or of these documents (docid); without criteria, the collection."""
        for key in self._keys:
            collection = self._open(collection_name, key)
            if collection is None:
                continue
            with self._guard, failing(f"deleting from collection '{collection_name}'", self.place):
                if not criteria:
                    self._collections.pop(collection.name, None)
                    self._chroma.delete_collection(collection.name)
                for selection in _selections(criteria or {}):
                    collection.delete(**selection)
        return True

    def search(
        self,
        collection_name: str,
        query: str | None = None,
        query_embedding: Sequence[float] | None = None,
        topk: int | None = 10,
        filters: Mapping[str, Any] | None = None,
        embed_key: str | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """The nearest nodes as ``{"uid": ..., "score": ...}``, best first."""
        collection = self._searchable(collection_name, str(embed_key))
        if collection is None:
            return []
        score = similarity_from_distance if self._space == "l2" else _similarity
        hits = []
        for documents in document_batches(self._segments_uri, collection_name, filters):
            with failing(f"searching collection '{collection_name}'", self.place):
                found = collection.query(
                    query_embeddings=np.asarray([query_embedding], np.float32),
                    n_results=topk or max(1, collection.count()),
                    where=None if documents is None else {RAG_DOC_ID: {"$in": documents}},
                    include=["distances"],
                )
                pairs = zip(found["ids"][0], found["distances"][0], strict=True)
                hits += [{"uid": uid, "score": score(distance)} for uid, distance in pairs]
        return sorted(hits, key=lambda hit: -hit["score"])[:topk]

    def count_vectors(self, collection_name: str) -> int:
        """Number of vectors, of the embedding that has most."""
        with failing("counting", self.place):
            opened = [self._open(collection_name, key) for key in self._keys]
            return max((int(collection.count()) for collection in opened if collection is not None), default=0)

    def finish(self) -> None:
        """Nothing to do: Chroma indexes while it writes."""

    def close(self) -> None:
        """Release the database's files; the folder can be opened again, or deleted."""
        with self._guard:
            self._collections.clear()
            self._in_step.clear()
            client, self._chroma = self._chroma, None
            if client is not None:
                client.close()

    @property
    def _space(self) -> str:
        return str(self._configuration["hnsw"]["space"])

    def _searchable(self, name: str, key: str) -> Any:
        """The collection, compared with the text beside it before its first search."""
        collection = self._open(name, key)
        if (name, key) not in self._in_step:
            with failing(f"opening collection '{name}'", self.place):
                vectors = 0 if collection is None else collection.count()
            check_in_step(self.place, name, vectors, self._segments_uri)
            if vectors:
                self._in_step.add((name, key))
        return collection

    def _open(self, name: str, key: str, create: bool = False) -> Any:
        """The Chroma collection of one embedding; None when nothing was written."""
        full_name = f"{name}_{key}_embed"
        with self._guard, failing(f"opening collection '{name}'", self.place):
            if self._chroma is None:
                raise StoreError(f"{self.place} is not open")
            if (collection := self._collections.get(full_name)) is not None:
                return collection
            try:
                collection = self._chroma.get_collection(full_name, embedding_function=None)
            except NotFoundError:
                if not create:
                    return None
                collection = self._chroma.create_collection(
                    full_name, configuration=self._configuration, embedding_function=None
                )
            else:
                space = collection.configuration["hnsw"]["space"]
                if space != self._space:
                    raise StoreError(
                        f"{self.place}: collection '{name}' was built with space '{space}', and '{self._space}' is "
                        "configured. Delete it and ingest again, or configure the space that it has."
                    )
            self._collections[full_name] = collection
            return collection


def _similarity(distance: float) -> float:
    return 1.0 - distance


def _selections(criteria: Mapping[str, Any]) -> list[dict[str, Any]]:
    """LazyLLM's criteria as arguments of deletions that are each short enough for SQLite."""
    if not criteria:
        return []
    if set(criteria) == {"uid"}:
        return [{"ids": uids} for uids in _batches(allowed(criteria["uid"]))]
    if set(criteria) == {RAG_DOC_ID}:
        return [{"where": {RAG_DOC_ID: {"$in": ids}}} for ids in _batches(allowed(criteria[RAG_DOC_ID]))]
    raise StoreError(f"vectors can be deleted by uid or by {RAG_DOC_ID}, not by {', '.join(criteria)}")


def _batches(values: list[Any]) -> list[list[Any]]:
    return [values[start : start + 500] for start in range(0, len(values), 500)]
