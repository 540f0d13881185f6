"""How often a caller may ask: counted once for all workers of a service."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from confrag.build.shared_file import open_shared
from confrag.serve.metrics import FOLDER

__all__ = ["RateLimit"]

_MOST_CALLERS = 10_000
_TIDIED_EVERY = 1_000
"""Requests."""
_SCHEMA = "CREATE TABLE IF NOT EXISTS buckets (caller TEXT PRIMARY KEY, held REAL, since REAL) WITHOUT ROWID"


class RateLimit:
    """Token buckets, one for each caller: each fills within a minute, and a request takes one from it.

    They lie in the folder that the workers of a service share, and in memory where there is one worker.

    Args:
        per_minute: how many requests; 0: no limit.
    """

    def __init__(self, per_minute: int) -> None:
        self._size = float(per_minute)
        self._per_s = per_minute / 60
        self._taken = 0
        if per_minute:
            self._buckets = _opened(os.environ.get(FOLDER))

    def take(self, caller: str, now: float | None = None) -> float:
        """Count a request.

        Args:
            caller: whose it is.
            now: in seconds of the monotonic clock, which is the same in all processes.

        Returns:
            0, or seconds until the next one is allowed.
        """
        if not self._size:
            return 0.0
        with self._buckets:
            self._buckets.execute("BEGIN IMMEDIATE")
            now = time.monotonic() if now is None else now
            found = self._buckets.execute("SELECT held, since FROM buckets WHERE caller = ?", (caller,)).fetchone()
            held, since = found or (self._size, now)
            held = min(self._size, held + max(0.0, now - since) * self._per_s)
            allowed = held >= 1
            self._buckets.execute("REPLACE INTO buckets VALUES (?, ?, ?)", (caller, held - allowed, now))
            self._taken += 1
            if self._taken % _TIDIED_EVERY == 0:
                self._tidy()
        return 0.0 if allowed else (1 - held) / self._per_s

    def _tidy(self) -> None:
        """Forget those who have not been seen for longest: after a minute they have a full one again."""
        self._buckets.execute(
            "DELETE FROM buckets WHERE caller NOT IN (SELECT caller FROM buckets ORDER BY since DESC LIMIT ?)",
            (_MOST_CALLERS,),
        )


def _opened(folder: str | None) -> sqlite3.Connection:
    if folder:
        return open_shared(Path(folder, "rate.sqlite3"), _SCHEMA, 1, "count of requests")
    alone = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    alone.execute(_SCHEMA)
    return alone
