"""Where a cache keeps its entries: what every place offers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Backend", "Entry", "Holding", "Vectors", "decoded", "encoded"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept for a question.

    Attributes:
        value: plain data (see `confrag.build.cache.values`).
        space: entries of one space stand for the same corpus, configuration and filters.
        vector: of the question, `[dim] float32` as bytes; None where only equal questions are found.
    """

    value: Mapping[str, Any]
    space: str = ""
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """How much lies in a place; bytes of the entries, less what the place itself needs."""

    entries: int
    bytes: int
    evictions: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of a space.

    Attributes:
        token: changes whenever the vectors may have changed.
        items: key -> vector; None when the token is the one that was known.
    """

    token: object
    items: Mapping[str, bytes] | None


def encoded(value: Mapping[str, Any]) -> bytes:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def decoded(raw: bytes | str) -> Mapping[str, Any] | None:
    """The value of an entry; None for one that is damaged, which is as good as none."""
    try:
        value = json.loads(raw.decode("utf-8", "surrogatepass") if isinstance(raw, bytes) else raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class Backend(Protocol):
    """A place. Safe for threads. What goes wrong is raised as it comes; the cache above deals with it."""

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The value of an entry that is there and not too old."""

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry; those that were not used for longest go, where there are too many."""

    def remove(self, key: str) -> None:
        """Forget an entry."""

    def vectors(self, space: str, known: object) -> Vectors:
        """The vectors of a space, unless the token says that they are known."""

    def add(self, totals: Mapping[str, float]) -> None:
        """Add to the totals that all who use the place share."""

    def totals(self) -> dict[str, float]:
        """These totals, by name."""

    def holding(self) -> Holding:
        """How much there is."""

    def clear(self) -> int:
        """Forget everything, the totals, too; returns how many entries there were."""

    def close(self) -> None:
        """Let go of what is open."""
