"""Vectors that were computed once: an SQLite file below `state_dir`, shared by all collections and processes.

An entry is found by what it was made from, the model's fingerprint and the text, so it never becomes wrong; it only
becomes unused. Beyond a declared size the entries that were not used for longest go.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from confrag.build.models.protocols import SparseVector, Vectors
from confrag.build.shared_file import open_shared

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
_PATIENCE_S = 600.0
"""How long another process may embed, before this one goes on beside it."""


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
        # A vector of 1,024 components fills a page of the usual size, and what does not fit takes another one.
        self._database = open_shared(path, _SCHEMA, _VERSION, "embedding cache", page_size=16384)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def get(self, fingerprint: str, keys: Sequence[bytes]) -> dict[bytes, Vectors | SparseVector]:
        """The vectors that are there, by key.

        Args:
            fingerprint: of the model.
            keys: of the texts, see `text_key`.
        """
        found: dict[bytes, Vectors | SparseVector] = {}
        now = int(time.time()) // _HOUR
        with self._lock:
            model = self._model(fingerprint)
            for start in range(0, len(keys), _BATCH):
                batch = list(keys[start : start + _BATCH])
                marks = ",".join("?" * len(batch))
                query = f"SELECT text, used, vector FROM vectors WHERE model = ? AND text IN ({marks})"
                rows = self._database.execute(query, (model, *batch)).fetchall()
                found.update((text, _unpacked(vector)) for text, _, vector in rows)
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

    @contextmanager
    def computing(self) -> Iterator[None]:
        """One process at a time embeds what is not here, so that no text is embedded twice.

        A process that is at it for too long is not waited for: what it does is lost time, and no mistake.
        """
        lock = FileLock(self._path.with_suffix(".lock"), thread_local=False)
        with suppress(Timeout, OSError):
            lock.acquire(timeout=_PATIENCE_S)
        try:
            yield
        finally:
            lock.release()

    def put(self, fingerprint: str, vectors: Mapping[bytes, Vectors | SparseVector]) -> None:
        """Store vectors by key; then make room, if the cache has grown beyond its size."""
        now = int(time.time()) // _HOUR
        with self._lock, self._transaction():
            model = self._model(fingerprint)
            rows = ((model, key, now, _packed(vector)) for key, vector in vectors.items())
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


_SPARSE = b"s"
"""What a sparse vector begins with; a dense one has a length that is a multiple of four, and is not taken for it."""


def _packed(vector: Vectors | SparseVector) -> bytes:
    """A dense vector as its components, float32; a sparse one as its ids, uint32, and then its weights, float32."""
    if not isinstance(vector, Mapping):
        return vector.astype(np.float32, copy=False).tobytes()
    ids = np.fromiter(vector.keys(), np.uint32, len(vector))
    weights = np.fromiter(vector.values(), np.float32, len(vector))
    return _SPARSE + ids.tobytes() + weights.tobytes()


def _unpacked(data: bytes) -> Vectors | SparseVector:
    if len(data) % 4 == 0:
        return np.frombuffer(data, np.float32)
    middle = 1 + len(data) // 2
    ids, weights = np.frombuffer(data[1:middle], np.uint32), np.frombuffer(data[middle:], np.float32)
    return dict(zip(ids.tolist(), weights.tolist(), strict=True))
