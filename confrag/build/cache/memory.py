"""Cache backend `memory`: this process's own, the entries that were not used for longest go first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from confrag.build.cache.backend import Entry, Holding, Vectors, encoded

__all__ = ["Memory", "build"]


class _Kept(NamedTuple):
    entry: Entry
    until: float
    size: int


class Memory:
    """Entries in a dictionary.

    Args:
        max_entries: how many are kept.
        ttl_s: seconds after which one is too old.
        clock: in seconds.
    """

    at_hand = True

    def __init__(self, max_entries: int, ttl_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._max = max_entries
        self._ttl = float("inf") if ttl_s is None else ttl_s
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._spaces: dict[str, dict[str, bytes]] = {}
        self._changes = 0
        self._bytes = 0
        self._evictions = 0
        self._totals: dict[str, float] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Mapping[str, Any] | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if kept.until <= self._clock():
                self._forget(key)
                return None
            self._kept.move_to_end(key)
            return kept.entry.value

    def put(self, key: str, entry: Entry) -> None:
        size = len(encoded(entry.value))
        with self._lock:
            if key in self._kept:
                self._forget(key)
            self._kept[key] = _Kept(entry, self._clock() + self._ttl, size)
            self._bytes += size
            if entry.vector is not None:
                self._spaces.setdefault(entry.space, {})[key] = entry.vector
                self._changes += 1
            while len(self._kept) > self._max:
                self._evictions += 1
                self._forget(next(iter(self._kept)))

    def remove(self, key: str) -> None:
        with self._lock:
            if key in self._kept:
                self._forget(key)

    def vectors(self, space: str, known: object) -> Vectors:
        with self._lock:
            items = None if known == self._changes else dict(self._spaces.get(space, {}))
            return Vectors(self._changes, items)

    def add(self, totals: Mapping[str, float]) -> None:
        with self._lock:
            for name, number in totals.items():
                self._totals[name] = self._totals.get(name, 0.0) + number

    def totals(self) -> dict[str, float]:
        with self._lock:
            return dict(self._totals)

    def holding(self) -> Holding:
        with self._lock:
            return Holding(len(self._kept), self._bytes, self._evictions)

    def clear(self) -> int:
        with self._lock:
            count = len(self._kept)
            self._kept.clear()
            self._spaces.clear()
            self._totals.clear()
            self._bytes = self._evictions = 0
            self._changes += 1
            return count

    def close(self) -> None:
        self.clear()

    def _forget(self, key: str) -> None:
        kept = self._kept.pop(key)
        self._bytes -= kept.size
        space = self._spaces.get(kept.entry.space, {})
        if space.pop(key, None) is not None:
            self._changes += 1
            if not space:
                del self._spaces[kept.entry.space]


def build(state_dir: Path, *, max_entries: int, ttl_s: float | None) -> Memory:
    """A place in this process."""
    return Memory(max_entries, ttl_s)
