"""Text and metadata of nodes in one SQLite file, or in memory."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from lazyllm.tools.rag.global_metadata import RAG_DOC_ID, RAG_KB_ID
from lazyllm.tools.rag.store import MapStore
from lazyllm.tools.rag.store.store_base import DEFAULT_KB_ID, StoreCapability

from confrag.build.stores.failures import failing
from confrag.build.stores.filters import sql_filter
from confrag.errors import StoreError
from confrag.schema.filters import Filters

Segment = dict[str, Any]
"""A node as LazyLLM stores it; made by its `Segment` model."""

_COLUMNS = {"uid": "uid", RAG_DOC_ID: "doc_id", RAG_KB_ID: "kb_id", "parent": "parent", "number": "number"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS segments (
    collection TEXT NOT NULL, uid TEXT NOT NULL, doc_id TEXT NOT NULL, kb_id TEXT NOT NULL, parent TEXT,
    number INTEGER, content TEXT NOT NULL, rest TEXT NOT NULL, PRIMARY KEY (collection, uid));
CREATE INDEX IF NOT EXISTS segments_by_document ON segments (collection, doc_id, number);
CREATE INDEX IF NOT EXISTS segments_by_parent ON segments (collection, parent);
"""

# Global metadata are those of a document: any of its segments knows them.
_ONE_EACH = "SELECT doc_id, rest FROM segments WHERE collection = ? GROUP BY doc_id"
_MATCHING = f"SELECT uid FROM segments WHERE collection = ? AND doc_id IN (SELECT doc_id FROM ({_ONE_EACH}) WHERE %s)"


class SegmentStore(MapStore):  # type: ignore[misc]
    """LazyLLM's map store with one SQLite table for all collections and without a copy of it in memory.

    Safe for threads: one connection behind a lock, a look-up takes some tens of microseconds. Other processes may
    read the file meanwhile.

    Args:
        uri: the SQLite file; None keeps everything in memory.

    Raises:
        StoreError: by every method, when SQLite fails.
    """

    __lazyllm_registry_key__ = "confrag_segments"
    capability = StoreCapability.SEGMENT
    supports_index_registration = False
    schema = _SCHEMA

    def __init__(self, uri: str | None = None) -> None:
        super().__init__(uri=uri)
        self.uri = uri
        self.place = f"store '{uri}'" if uri else "store in memory"
        self._database: sqlite3.Connection | None = None
        self._guard = threading.RLock()

    @property
    def dir(self) -> str:
        """Folder of the file, with a separator at its end; empty in memory."""
        return os.path.join(os.path.dirname(self.uri), "") if self.uri else ""  # noqa: PTH118, PTH120

    def connect(self, *args: Any, **kwargs: Any) -> None:
        """Open the file, or make it."""
        with self._guard, failing("opening", self.place):
            if self._database is not None:
                return
            if self.uri:
                Path(self.uri).parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self.uri or ":memory:", timeout=30, check_same_thread=False)
            try:
                database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {self.schema}")
            except BaseException:
                database.close()
                raise
            self._database = database

    def upsert(self, collection_name: str, data: list[Segment]) -> bool:
        """Write segments; one with a known uid is replaced. All or nothing."""
        with self.transaction("writing") as database:
            self.write(database, collection_name, data)
        return True

    def write(self, database: sqlite3.Connection, collection: str, data: Iterable[Segment]) -> None:
        """Write segments within a transaction."""
        database.executemany(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (_to_row(collection, segment) for segment in data),
        )

    def delete(self, collection_name: str, criteria: Mapping[str, Any] | None = None, **kwargs: Any) -> bool:
        """Delete the segments that meet the criteria; without any, the collection."""
        with self.transaction("deleting") as database:
            self.erase(database, collection_name, criteria or {})
        return True

    def erase(self, database: sqlite3.Connection, collection: str, criteria: Mapping[str, Any]) -> None:
        """Delete segments within a transaction."""
        where, values = self.where(criteria)
        database.execute(f"DELETE FROM segments WHERE collection = ?{where}", [collection, *values])

    def get(
        self,
        collection_name: str,
        criteria: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        return_total: bool = False,
        sort_by_number: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The segments that meet the criteria (uid, docid, kb_id, parent, number: a value or a list of values)."""
        where, values = self.where(criteria or {})
        order = "ORDER BY number, uid" if sort_by_number else ""
        columns = "uid, doc_id, kb_id, parent, number, content, rest"
        query = f"SELECT {columns} FROM segments WHERE collection = ?{where} {order} LIMIT ? OFFSET ?"
        rows = self.rows(query, [collection_name, *values, -1 if limit is None else limit, offset or 0])
        segments = [_to_segment(row) for row in rows]
        return (segments, self.count(collection_name, criteria)) if return_total else segments

    def search(self, *args: Any, **kwargs: Any) -> list[Segment]:
        """Not served here: text is searched by `LexicalIndex`."""
        with self.transaction("searching"):
            raise StoreError(f"{self.place}: text is searched by an index: name it in Retriever(index=...)")

    def count(self, collection: str, criteria: Mapping[str, Any] | None = None) -> int:
        """Number of segments."""
        where, values = self.where(criteria or {})
        query = f"SELECT count(*) FROM segments WHERE collection = ?{where}"
        return int(self.rows(query, [collection, *values])[0][0])

    def uids(self, collection: str, criteria: Mapping[str, Any]) -> list[str]:
        """Uids of the segments that meet the criteria."""
        where, values = self.where(criteria)
        return [
            row[0] for row in self.rows(f"SELECT uid FROM segments WHERE collection = ?{where}", [collection, *values])
        ]

    def texts(self, collection: str, uids: Sequence[str] | None = None) -> list[tuple[str, str]]:
        """(uid, text) of every segment, by uid; of these only, where given."""
        where, values = self.where({} if uids is None else {"uid": uids})
        query = f"SELECT uid, content FROM segments WHERE collection = ?{where} ORDER BY uid"
        return [(uid, text) for uid, text in self.rows(query, [collection, *values])]

    def matching(self, collection: str, filters: Filters) -> set[str]:
        """Uids of the segments whose document's metadata match the filters, which are at least one condition."""
        condition, values = sql_filter(filters, "rest")
        return {row[0] for row in self.rows(_MATCHING % condition, [collection, collection, *values])}

    def persist(self) -> None:
        """Nothing to do: every write outlasts the process."""

    def finish(self) -> None:
        """Nothing to do: every write is complete."""

    def refresh(self) -> None:
        """Nothing to do: what other processes write is found."""

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextmanager
    def transaction(self, action: str) -> Iterator[sqlite3.Connection]:
        """The open database, alone; what is done inside is kept only when nothing fails."""
        with self._guard, failing(action, self.place):
            if self._database is None:
                raise StoreError(f"{self.place} is not open")
            with self._database:
                yield self._database

    def rows(self, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.transaction("reading") as database:
            return database.execute(query, values).fetchall()

    def where(self, criteria: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The criteria as SQL; a list is one JSON parameter, so that it may be as long as it likes."""
        clauses, values = [], []
        for name, value in criteria.items():
            if name not in _COLUMNS:
                raise StoreError(f"{self.place}: cannot select by '{name}': allowed are {', '.join(_COLUMNS)}")
            single = isinstance(value, (str, int))
            clauses.append(f" AND {_COLUMNS[name]} " + ("= ?" if single else "IN (SELECT value FROM json_each(?))"))
            values.append(value if single else json.dumps(list(value), ensure_ascii=False))
        return "".join(clauses), values


def stored_segments(uri: str, collection: str) -> int:
    """Number of segments that a file holds of a collection, read from outside; 0 where there is no file.

    Raises:
        StoreError: the file cannot be read.
    """
    rows = _read(uri, "SELECT count(*) FROM segments WHERE collection = ?", collection)
    return int(rows[0][0]) if rows else 0


def stored_among(uri: str, collection: str, uids: Sequence[str]) -> int:
    """How many of these segments a file holds, read from outside.

    Raises:
        StoreError: the file cannot be read.
    """
    query = "SELECT count(*) FROM segments WHERE collection = ? AND uid IN (SELECT value FROM json_each(?))"
    rows = _read(uri, query, collection, json.dumps(uids))
    return int(rows[0][0]) if rows else 0


def _read(uri: str, query: str, *values: str) -> list[tuple[Any, ...]]:
    if not Path(uri).exists():
        return []
    read_only = f"{Path(uri).resolve().as_uri()}?mode=ro"
    with failing("reading", f"store '{uri}'"), closing(sqlite3.connect(read_only, uri=True, timeout=30)) as database:
        return database.execute(query, values).fetchall()


_OWN_COLUMNS = frozenset({"uid", "doc_id", "kb_id", "parent", "number", "content", "embedding"})


def _to_row(collection: str, segment: Segment) -> tuple[Any, ...]:
    rest = {k: v for k, v in segment.items() if k not in _OWN_COLUMNS and v not in (None, "", [], {})}
    own = (segment["uid"], segment["doc_id"], segment.get("kb_id") or DEFAULT_KB_ID, segment.get("parent"))
    text = segment.get("content") or ""
    return (collection, *own, segment.get("number"), text, json.dumps(rest, ensure_ascii=False))


def _to_segment(row: tuple[Any, ...]) -> Segment:
    uid, doc_id, kb_id, parent, number, content, rest = row
    own = {"uid": uid, "doc_id": doc_id, "kb_id": kb_id, "parent": parent, "number": number, "content": content}
    return {"meta": {}, "global_meta": {}, **json.loads(rest), **own}
