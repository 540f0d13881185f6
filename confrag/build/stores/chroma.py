"""Chroma, strict: a folder, or a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from chromadb.errors import NotFoundError
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID
from lazyllm.tools.rag.store import ChromaStore
from numpy.typing import NDArray

from confrag.build.stores.chroma_places import Place, place_for
from confrag.build.stores.failures import failing
from confrag.build.stores.filters import held_fields, listed, satisfiable, where_filter
from confrag.build.stores.vectors import (
    VectorsOnly,
    check_in_step,
    check_stored,
    declared,
    embedding_keys,
    server_prefix,
    similarity_from_distance,
)
from confrag.errors import ServiceError, StoreError
from confrag.schema.filters import Filters
from confrag.schema.store import is_server

_BATCH = 1000
_OWNER = "confrag"
"""Key of a collection's metadata: the node group that it belongs to, as LazyLLM names it."""
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
    **server: Any,
) -> dict[str, Any]:
    """LazyLLM's store_conf of vectors in Chroma and text in SQLite.

    Args:
        directory: where the data goes that has no other place; its name tells our collections on a server apart.
        dir: folder of the Chroma database; ``chroma`` in `directory` when None.
        index_kwargs: Chroma's collection configuration, ``{"hnsw": {"space": "cosine", ...}}``; what it leaves out
            takes values that find (nearly) everything.
        client_kwargs: further arguments of `chromadb.PersistentClient` or `chromadb.HttpClient`.
        segments: SQLite file of the text; when None, ``segments.db`` in the folder, for a server in `directory`.
        uri: a server (``http://HOST:8000``), or the folder as a path or a ``file://`` URI; goes before `dir`.
        server: for a server, further arguments of `chroma_places.RemoteServer`: tenant, database, the name of the
            environment variable with the token, and seconds to wait.
    """
    vectors: dict[str, Any] = {"index_kwargs": index_kwargs, "client_kwargs": client_kwargs}
    if uri and is_server(uri):
        text = segments or str(directory / "segments.db")
        vectors |= {"dir": uri, "server": {**server, "prefix": server_prefix(directory)}}
    else:
        named = (uri or "").removeprefix("file://") or dir
        folder = str(Path(named).expanduser()) if named else str(directory / "chroma")
        text = segments or str(Path(folder) / "segments.db")
        vectors |= {"dir": folder}
    return {
        "segment_store": {"type": "confrag_segments", "kwargs": {"uri": text}},
        "vector_store": {"type": "confrag_chroma", "kwargs": {**vectors, "segments": text}},
    }


class StrictChromaStore(VectorsOnly, ChromaStore):  # type: ignore[misc]
    """LazyLLM's Chroma store whose failures raise, that finds its collections after a restart, and that can be closed.

    Scores, higher is better: space ``cosine`` the cosine, ``ip`` the inner product, ``l2`` ``1 / (1 + d)`` of the
    squared Euclidean distance d. Every embedding of a node group is a Chroma collection of its own.

    Raises:
        StoreError: by every method, when Chroma fails or a collection is missing though its text is stored.
        ServiceError: by every method, when a server does not answer; once it does, the next call succeeds.
        UserError: by `connect`, when a server refuses the token, or has no such tenant or database.
    """

    __lazyllm_registry_key__ = "confrag_chroma"

    def __init__(
        self,
        dir: str,  # noqa: A002
        segments: str,
        index_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
    ) -> None:
        given = dict(index_kwargs or {})
        configuration = {**given, "hnsw": {**_HNSW, **(given.get("hnsw") or {})}}
        super().__init__(dir=dir, index_kwargs=configuration, client_kwargs=dict(client_kwargs or {}))
        self._place: Place = place_for(dir, client_kwargs or {}, server)
        self.place = str(self._place)
        self._segments_uri, self._configuration = segments, configuration
        self._chroma: Any = None
        self._keys: tuple[str, ...] = ()
        self._doc_fields: tuple[str, ...] = ()
        self._collections: dict[str, Any] = {}
        self._in_step: set[tuple[str, str]] = set()
        self._guard = threading.RLock()

    def connect(
        self,
        embed: Mapping[str, Any] | None = None,
        global_metadata_desc: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Open the folder, or make it; or connect to the server.

        Args:
            embed: the embeddings, by name.
            global_metadata_desc: the metadata that searches may be filtered by.
        """
        self._doc_fields = declared(global_metadata_desc)
        self._keys = tuple(sorted(embed or ()))
        with self._guard, self._doing("opening"):
            if self._chroma is None:
                self._chroma = self._place.open()

    def upsert(self, collection_name: str, data: list[dict[str, Any]]) -> bool:
        """Write the vectors of segments; those of a known uid are replaced."""
        for key in embedding_keys(data, self.place):
            if isinstance(data[0]["embedding"][key], Mapping):
                raise StoreError(f"{self.place}: holds dense vectors only, and embedding '{key}' is sparse")
            collection = self._open(collection_name, key, create=True)
            with self._guard, self._doing(f"writing collection '{collection_name}'"):
                for start in range(0, len(data), _BATCH):
                    batch = data[start : start + _BATCH]
                    ids = [segment["uid"] for segment in batch]
                    # Replacing a vector in its index takes Chroma ten times as long.
                    if known := collection.get(ids=ids, include=[])["ids"]:
                        collection.delete(ids=known)
                    collection.add(
                        ids=ids,
                        embeddings=np.asarray([segment["embedding"][key] for segment in batch], np.float32),
                        metadatas=[self._metadata(segment) for segment in batch],
                    )
        return True

    def delete(self, collection_name: str, criteria: Mapping[str, Any] | None = None, **kwargs: Any) -> bool:
        """Delete the vectors with these uids, or of these documents (docid); without criteria, the collection."""
        if not criteria:
            self._drop(collection_name)
            return True
        for key in self._keys:
            if (collection := self._open(collection_name, key)) is not None:
                with self._guard, self._doing(f"deleting from collection '{collection_name}'"):
                    for selection in _selections(criteria):
                        collection.delete(**selection)
        return True

    def _metadata(self, segment: Mapping[str, Any]) -> dict[str, Any]:
        return {RAG_DOC_ID: segment["doc_id"], **held_fields(segment.get("global_meta") or {}, self._doc_fields)}

    def _drop(self, name: str) -> None:
        """Delete the collections of all embeddings, also of such as are not configured any more."""
        with self._guard, self._doing(f"deleting collection '{name}'"):
            for collection in self._client.list_collections():
                if (collection.metadata or {}).get(_OWNER) == self._place.name(name):
                    self._collections.pop(collection.name, None)
                    with suppress(NotFoundError):
                        self._client.delete_collection(collection.name)
            self._in_step = {entry for entry in self._in_step if entry[0] != name}

    def search(
        self,
        collection_name: str,
        query: str | None = None,
        query_embedding: Sequence[float] | None = None,
        topk: int | None = 10,
        filters: Filters | None = None,
        embed_key: str | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """The nearest nodes as ``{"uid": ..., "score": ...}``, best first."""
        collection = self._searchable(collection_name, str(embed_key))
        if collection is None or not satisfiable(filters or ()):
            return []
        score = similarity_from_distance if self._space == "l2" else _similarity
        with self._doing(f"searching collection '{collection_name}'"):
            found = collection.query(
                query_embeddings=np.asarray([query_embedding], np.float32),
                n_results=topk or max(1, collection.count()),
                where=where_filter(filters or ()),
                include=["distances"],
            )
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        hits = [{"uid": uid, "score": score(distance)} for uid, distance in pairs]
        check_stored(self.place, collection_name, [hit["uid"] for hit in hits], self._segments_uri)
        return sorted(hits, key=lambda hit: -hit["score"])

    def count_vectors(self, collection_name: str) -> int:
        """Number of vectors, of the embedding that has most."""
        with self._doing("counting"):
            opened = [self._open(collection_name, key) for key in self._keys]
            return max((int(collection.count()) for collection in opened if collection is not None), default=0)

    def vectors(self, collection: str, embed_key: str, uids: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
        """Uids and vectors `[n, dim] float32` of those among some nodes that have one; `[0, 0]`: none has."""
        opened = self._open(collection, embed_key)
        found: list[str] = []
        held = [np.zeros((0, 0), np.float32)]
        for batch in _batches(list(uids)) if opened is not None else ():
            with self._doing(f"reading the vectors of collection '{collection}'"):
                part = opened.get(ids=batch, include=["embeddings"])
            if part["ids"]:
                found += part["ids"]
                held.append(np.asarray(part["embeddings"], np.float32))
        return found, np.concatenate(held[1:]) if found else held[0]

    def refresh(self) -> None:
        """Open a folder once more: a search sees only what was there, or written through it, since it was opened."""
        with self._guard, self._doing("opening"):
            # Searches that are under way keep the old one.
            self._collections.clear()
            self._in_step.clear()
            self._chroma = self._place.reopen(self._chroma)

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

    @contextmanager
    def _doing(self, action: str) -> Iterator[None]:
        """`failing`; when a server went away, what is known of it is asked for again when it is back."""
        try:
            with failing(action, self.place, self._place.explain):
                yield
        except ServiceError:
            self._collections = {}
            self._in_step = set()
            raise

    @property
    def _client(self) -> Any:
        if self._chroma is None:
            raise StoreError(f"{self.place} is not open")
        return self._chroma

    def _full_name(self, name: str, key: str) -> str:
        return self._place.name(f"{name}_{key}_embed")

    @property
    def _space(self) -> str:
        return str(self._configuration["hnsw"]["space"])

    def _searchable(self, name: str, key: str) -> Any:
        """The collection, compared with the text beside it before its first search."""
        collection = self._open(name, key)
        if (name, key) not in self._in_step:
            with self._doing(f"opening collection '{name}'"):
                vectors = 0 if collection is None else collection.count()
            check_in_step(self.place, name, vectors, self._segments_uri)
            if vectors:
                self._in_step.add((name, key))
        return collection

    def _open(self, name: str, key: str, create: bool = False) -> Any:
        """The Chroma collection of one embedding; None when nothing was written."""
        full_name = self._full_name(name, key)
        with self._guard, self._doing(f"opening collection '{name}'"):
            client = self._client
            if (collection := self._collections.get(full_name)) is not None:
                return collection
            try:
                collection = client.get_collection(full_name, embedding_function=None)
            except NotFoundError:
                if not create:
                    return None
                collection = client.create_collection(
                    full_name,
                    configuration=self._configuration,
                    metadata={_OWNER: self._place.name(name)},
                    embedding_function=None,
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
    if set(criteria) == {"uid"}:
        return [{"ids": uids} for uids in _batches(listed(criteria["uid"]))]
    if set(criteria) == {RAG_DOC_ID}:
        return [{"where": {RAG_DOC_ID: {"$in": ids}}} for ids in _batches(listed(criteria[RAG_DOC_ID]))]
    raise StoreError(f"vectors can be deleted by uid or by {RAG_DOC_ID}, not by {', '.join(criteria)}")


def _batches(values: list[Any]) -> list[list[Any]]:
    return [values[start : start + 500] for start in range(0, len(values), 500)]
