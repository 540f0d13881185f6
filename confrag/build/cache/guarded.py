"""A place that may fail: it is then left alone for a while, and the question is answered without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confrag.build.cache.backend import Backend, Entry, Holding, Vectors

__all__ = ["Guarded"]

T = TypeVar("T")
_PAUSE_S = 1.0
"""How long a place that failed is left alone, so that not every question waits for a server that is gone."""


class Guarded:
    """Calls a place, and never raises.

    Attributes:
        errors: calls that failed so far.
        at_hand: whether a look takes microseconds, and waits for nobody.

    Args:
        backend: the place.
        place: how warnings name it.
        warn: told once when it fails, and once when it is back.
    """

    def __init__(
        self, backend: Backend, place: str, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._place = place
        self._warn = warn
        self._clock = clock
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._failing = False
        self.errors = 0
        self.at_hand = bool(getattr(backend, "at_hand", False))

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The value of an entry; None also when the place fails."""
        return self.attempt(lambda: self._backend.get(key), None)

    def put(self, key: str, entry: Entry) -> bool:
        """Keep an entry; whether that worked."""

        def put() -> bool:
            self._backend.put(key, entry)
            return True

        return self.attempt(put, default=False)

    def remove(self, key: str) -> None:
        """Forget an entry."""
        self.attempt(lambda: self._backend.remove(key), None)

    def vectors(self, space: str, known: object) -> Vectors:
        """The vectors of a space; none when the place fails."""
        return self.attempt(lambda: self._backend.vectors(space, known), Vectors(None, {}))

    def add(self, totals: Mapping[str, float]) -> None:
        """Add to the totals."""
        self.attempt(lambda: self._backend.add(totals), None)

    def holding(self) -> Holding | None:
        """How much there is; None when the place fails."""
        return self.attempt(self._backend.holding, None)

    def clear(self) -> int:
        """Forget everything; returns how many entries there were. Raises what the place raises."""
        return self._backend.clear()

    def close(self) -> None:
        """Let go of the place."""
        self._backend.close()

    def attempt(self, call: Callable[[], T], default: T) -> T:
        """What a call gives that the cache needs; `default` when it fails, and for a while after that."""
        if self._clock() < self._until:
            return default
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - whatever it is, the question is answered all the same
            self._failed(error)
            return default
        if self._failing:
            self._back()
        return result

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self.errors += 1
            self._until = self._clock() + _PAUSE_S
            tell, self._failing = not self._failing, True
        if tell:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self._warn(f"{self._place} fails ({reason}); questions are answered without it until it is back")

    def _back(self) -> None:
        with self._lock:
            tell, self._failing = self._failing, False
        if tell:
            self._warn(f"{self._place} is back")
