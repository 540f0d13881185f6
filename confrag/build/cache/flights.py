"""Questions that are being answered: who asks the same meanwhile waits for that answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

__all__ = ["Flight", "Flights"]


class Flight:
    """One computation, and those who wait for it.

    Attributes:
        value: what came out, where it may be shared; set before it is over.
        error: why nothing did.
    """

    def __init__(self) -> None:
        self.value: Mapping[str, Any] | None = None
        self.error: Exception | None = None
        self._over = threading.Event()

    def wait(self) -> None:
        """Until it is over."""
        self._over.wait()

    def end(self) -> None:
        """Let those who wait go on."""
        self._over.set()


class Flights:
    """The computations that are under way, by key. Safe for threads."""

    def __init__(self) -> None:
        self._flying: dict[str, Flight] = {}
        self._lock = threading.Lock()

    def join(self, key: str) -> tuple[Flight, bool]:
        """The computation of a key, and whether it is the caller's to do, who must then call `land`."""
        with self._lock:
            flight = self._flying.get(key)
            if flight is not None:
                return flight, False
            flight = self._flying[key] = Flight()
            return flight, True

    def land(self, key: str, flight: Flight) -> None:
        """It is over."""
        with self._lock:
            self._flying.pop(key, None)
        flight.end()
