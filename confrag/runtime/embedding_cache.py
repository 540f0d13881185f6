"""Vectors that were computed once: an SQLite file below `state_dir`, shared by all collections and processes.

An entry is found by what it was made from, the model's fingerprint and the text, so it never becomes wrong; it only
becomes unused. Beyond a declared size the entries that were not used for longest go.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from confrag.build.models.protocols import Vectors
from confrag.errors import UserError

__all__ = ["CacheStats", "EmbeddingCache", "cache_file", "text_key"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS models (id INTEGER PRIMARY KEY, fingerprint TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY, model INTEGER NOT NULL, text BLOB NOT NULL, used INTEGER NOT NULL, vector BLOB NOT NULL,
    UNIQUE (model, text));
CREATE INDEX IF NOT EXISTS vectors_used ON vectors (used);
"""
_VERSION = 1
_BATCH = 500
"""Keys in one query; SQLite allows 999 in its older builds."""
_HOUR = 3600
_PATIENCE_S = 60
"""How long another process may hold the file."""


def cache_file(state_dir: str) -> Path:
    """Where the cache of a `state_dir` lies."""
    return Path(state_dir).expanduser().absolute() / "embeddings.sqlite3"


def text_key(text: str) -> bytes:
    """The key of a text: its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds: entries by model fingerprint, and the size of its file in bytes."""

    entries: dict[str, int]
    bytes: int


class EmbeddingCache:
    """The open cache. Safe for threads, and for several processes at once.

    Args:
        path: the SQLite file; made when it does not exist.
        max_bytes: how large it may grow.

    Raises:
        UserError: the file is of a newer version, or no cache at all.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=_PATIENCE_S, check_same_thread=False, isolation_level=None)
        try:
            self._open_patiently()
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise UserError(f"{path} cannot be used as embedding cache: {error}. Delete it; it fills again") from None
        except BaseException:
            self._database.close()
            raise

    def _open_patiently(self) -> None:
        """Processes that make the file at once get in each other's way, and SQLite does not wait for all of that."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._open()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _open(self) -> None:
        # A vector of 1,024 components fills a page of the usual size, and what does not fit takes another one.
        self._database.execute("PRAGMA page_size = 16384")
        self._database.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last entries, which are then computed again.
        self._database.execute("PRAGMA synchronous = NORMAL")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise UserError(
                f"{self._path} was written by a newer confrag (version {version}, this one knows {_VERSION}). "
                "Update confrag, or use another state_dir"
            )
        if version < _VERSION:  # else not a byte is written: `confrag plan` opens it, too
            self._database.executescript(_SCHEMA)
            self._database.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def get(self, fingerprint: str, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that are there, by key.

        Args:
            fingerprint: of the model.
            keys: of the texts, see `text_key`.
        """
        found: dict[bytes, Vectors] = {}
        now = int(time.time()) // _HOUR
        with self._lock:
            model = self._model(fingerprint)
            for start in range(0, len(keys), _BATCH):
                batch = list(keys[start : start + _BATCH])
                marks = ",".join("?" * len(batch))
                query = f"SELECT text, used, vector FROM vectors WHERE model = ? AND text IN ({marks})"
                rows = self._database.execute(query, (model, *batch)).fetchall()
                found.update((text, np.frombuffer(vector, np.float32)) for text, _, vector in rows)
                # By the hour is exact enough to tell old from new, and spares most reads a write.
                stale = [(now, model, text) for text, used, _ in rows if used != now]
                if stale:
                    with self._transaction():
                        self._database.executemany("UPDATE vectors SET used = ? WHERE model = ? AND text = ?", stale)
        return found

    def held(self, fingerprint: str, keys: Sequence[bytes]) -> int:
        """How many of the keys are there; does not count as a use."""
        found = 0
        for start in range(0, len(keys), _BATCH):
            batch = list(keys[start : start + _BATCH])
            marks = ",".join("?" * len(batch))
            query = (
                "SELECT count(*) FROM vectors JOIN models ON models.id = model "
                f"WHERE fingerprint = ? AND text IN ({marks})"
            )
            with self._lock:
                found += int(self._database.execute(query, (fingerprint, *batch)).fetchone()[0])
        return found

    def put(self, fingerprint: str, vectors: Mapping[bytes, Vectors]) -> None:
        """Store vectors by key; then make room, if the cache has grown beyond its size."""
        now = int(time.time()) // _HOUR
        with self._lock, self._transaction():
            model = self._model(fingerprint)
            rows = (
                (model, key, now, vector.astype(np.float32, copy=False).tobytes()) for key, vector in vectors.items()
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO vectors (model, text, used, vector) VALUES (?, ?, ?, ?)", rows
            )
            self._make_room()

    def stats(self) -> CacheStats:
        """What the cache holds."""
        query = "SELECT fingerprint, count(*) FROM vectors JOIN models ON models.id = model GROUP BY model"
        with self._lock:
            entries = dict(self._database.execute(query).fetchall())
        size = sum(path.stat().st_size for path in self._path.parent.glob(f"{self._path.name}*"))
        return CacheStats(entries, size)

    def clear(self) -> int:
        """Remove every entry; returns how many there were."""
        with self._lock:
            count = int(self._database.execute("SELECT count(*) FROM vectors").fetchone()[0])
            self._database.execute("DELETE FROM vectors")
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def _model(self, fingerprint: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO models (fingerprint) VALUES (?)", (fingerprint,))
        return int(self._database.execute("SELECT id FROM models WHERE fingerprint = ?", (fingerprint,)).fetchone()[0])

    def _make_room(self) -> None:
        pages, free, size = (
            int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        held = (pages - free) * size
        if held <= self._max_bytes:
            return
        count = int(self._database.execute("SELECT count(*) FROM vectors").fetchone()[0])
        # Down to nine tenths, so that the next batch does not have to make room again.
        remove = int(count * (1 - 0.9 * self._max_bytes / held)) + 1
        oldest = "SELECT id FROM vectors ORDER BY used, id LIMIT ?"
        self._database.execute(f"DELETE FROM vectors WHERE id IN ({oldest})", (remove,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # IMMEDIATE waits for another writer at the start; a plain one would fail when it turns from reading to writing.
        self._database.execute("BEGIN IMMEDIATE")
        try:
            with closing(self._database.cursor()):
                yield
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
