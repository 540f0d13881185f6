"""Cache backend `disk`: an SQLite file that all processes share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from confrag.build.cache.backend import Entry, Holding, Vectors, decoded, encoded
from confrag.build.shared_file import open_shared

__all__ = ["FILE", "Disk", "build"]

FILE = "answers.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, space TEXT NOT NULL, vector BLOB, value BLOB NOT NULL, until REAL, used REAL NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used);
CREATE INDEX IF NOT EXISTS entries_by_space ON entries (space) WHERE vector IS NOT NULL;
CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, number REAL NOT NULL);
"""
_VERSION = 1
_PATIENCE_S = 2.0
"""How long another process may hold the file; a question does not wait longer."""
_USED_AGAIN_S = 60.0
"""The time of use is written when it is older than that: a hit costs no write."""


class Disk:
    """Entries in an SQLite file.

    Args:
        path: of the file; made when it does not exist.
        max_entries: how many are kept.
        ttl_s: seconds after which one is too old.
        clock: in seconds, the same for all processes.

    Raises:
        UserError: the file is of a newer version, or something else.
    """

    def __init__(
        self, path: Path, max_entries: int, ttl_s: float | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._max = max_entries
        self._ttl = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._database = open_shared(path, _SCHEMA, _VERSION, "cache of answers")
        self._database.execute(f"PRAGMA busy_timeout = {int(_PATIENCE_S * 1000)}")

    def get(self, key: str) -> Mapping[str, Any] | None:
        now = self._clock()
        with self._lock:
            row = self._database.execute("SELECT value, until, used FROM entries WHERE key = ?", (key,)).fetchone()
            if row is None or (row[1] is not None and row[1] <= now):
                return None
            if now - row[2] > _USED_AGAIN_S:
                self._database.execute("UPDATE entries SET used = ? WHERE key = ?", (now, key))
        return decoded(row[0])

    def put(self, key: str, entry: Entry) -> None:
        now = self._clock()
        until = None if self._ttl is None else now + self._ttl
        value = encoded(entry.value)
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.execute(
                    "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)",
                    (key, entry.space, entry.vector, value, until, now),
                )
                self._evict(now)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    def _evict(self, now: float) -> None:
        gone = self._database.execute("DELETE FROM entries WHERE until <= ?", (now,)).rowcount if self._ttl else 0
        count = self._database.execute("SELECT count(*) FROM entries").fetchone()[0]
        if count > self._max:
            query = "DELETE FROM entries WHERE key IN (SELECT key FROM entries ORDER BY used, key LIMIT ?)"
            gone += self._database.execute(query, (count - self._max,)).rowcount
        if gone:
            self._sum({"evictions": gone})

    def remove(self, key: str) -> None:
        with self._lock:
            self._database.execute("DELETE FROM entries WHERE key = ?", (key,))

    def vectors(self, space: str, known: object) -> Vectors:
        with self._lock:
            version = self._database.execute("PRAGMA data_version").fetchone()[0]
            token = (version, self._database.total_changes)
            if token == known:
                return Vectors(token, None)
            query = "SELECT key, vector FROM entries WHERE space = ? AND vector IS NOT NULL"
            return Vectors(token, dict(self._database.execute(query, (space,)).fetchall()))

    def add(self, totals: Mapping[str, float]) -> None:
        with self._lock:
            self._sum(totals)

    def _sum(self, totals: Mapping[str, float]) -> None:
        query = "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number"
        self._database.executemany(query, list(totals.items()))

    def totals(self) -> dict[str, float]:
        with self._lock:
            return dict(self._database.execute("SELECT name, number FROM totals WHERE name != 'evictions'").fetchall())

    def holding(self) -> Holding:
        with self._lock:
            count, size = self._database.execute("SELECT count(*), total(length(value)) FROM entries").fetchone()
            row = self._database.execute("SELECT number FROM totals WHERE name = 'evictions'").fetchone()
        return Holding(int(count), int(size), int(row[0]) if row else 0)

    def clear(self) -> int:
        with self._lock:
            count = self._database.execute("DELETE FROM entries").rowcount
            self._database.execute("DELETE FROM totals")
        return int(count)

    def close(self) -> None:
        with self._lock:
            self._database.close()


def build(state_dir: Path, *, max_entries: int, ttl_s: float | None, path: str | None) -> Disk:
    """A file, below `state_dir` unless placed."""
    return Disk(Path(path).expanduser() if path else state_dir / FILE, max_entries, ttl_s)
