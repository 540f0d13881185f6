"""When an answer is taken from the cache, and when it is put there."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confrag.build.cache.backend import Entry
from confrag.build.cache.flights import Flight, Flights
from confrag.build.cache.guarded import Guarded
from confrag.build.cache.keys import key_of, normalized, space_of
from confrag.build.cache.semantic import Semantic
from confrag.build.cache.values import FORMAT
from confrag.build.trace import Trace

__all__ = ["AnswerCache", "Looked"]

State = Callable[[], object]
"""Tells what the corpus is like: equal values mean equal rows; None while they are being written."""

_SHARED_EVERY_S = 5.0
_COUNTED = 100_000
"""Questions whose number of times is remembered, for `min_hits`."""


@dataclass(frozen=True)
class Looked:
    """What a look into the cache gave.

    Attributes:
        question: that was asked.
        value: what is kept for it, if anything is.
        key: under which an answer is to be kept; empty: it is not to be kept.
        space: of that entry.
        state: of the corpus when it was looked for.
        vector: of the question, where near questions count.
        flight: the computation that others wait for; the caller's own.
    """

    question: str
    value: Mapping[str, Any] | None = None
    key: str = ""
    space: str = ""
    state: object = None
    vector: bytes | None = None
    flight: Flight | None = None


class AnswerCache:
    """A policy over a place. Safe for threads.

    Args:
        place: where entries are kept.
        fingerprint: of everything in the configuration that what is kept depends on.
        state: of the corpus.
        min_hits: how often a question must be asked to be kept.
        normalize: which questions are the same.
        semantic: finds near questions, too; None: only equal ones.
    """

    def __init__(
        self,
        place: Guarded,
        *,
        fingerprint: str,
        state: State,
        min_hits: int,
        normalize: Mapping[str, Any],
        semantic: Semantic | None,
    ) -> None:
        self._place = place
        self._fingerprint = fingerprint
        self._state = state
        self._min_hits = min_hits
        self._normalize = normalize
        self._semantic = semantic
        self._flights = Flights()
        self._asked: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._own: dict[str, float] = {}
        self._unshared: dict[str, float] = {}
        self._shared = time.monotonic()

    def look(self, question: str, trace: Trace) -> Looked:
        """Look for a question. Who gets neither a value nor an error must compute it, and call `keep` or `give_up`."""
        state = self._state()
        if state is None:
            return Looked(question)  # rows are being written: what is computed now belongs to no version
        same = normalized(question, self._normalize)
        space = space_of(FORMAT, self._fingerprint, state, trace.filters, trace.limit, trace.history)
        key = key_of(space, same)
        while True:
            value, vector = self._find(key, space, same)
            if value is not None:
                self._count(value)
                return Looked(question, value)
            flight, mine = self._flights.join(key)
            if mine:
                # The one before may have landed between the look and the joining.
                if (value := self._readable(key)) is not None:
                    self._flights.land(key, flight)
                    self._count(value)
                    return Looked(question, value)
                self._add({"misses": 1})
                wanted = self._is_hot(key)
                return Looked(question, None, key, space, state if wanted else None, vector, flight)
            flight.wait()
            if flight.error is not None:
                raise flight.error
            if flight.value is not None:
                self._count(flight.value)
                return Looked(question, flight.value)

    def peek(self, question: str, trace: Trace) -> Looked | None:
        """What this process has in memory for just this question, which counts as a hit; None: `look` for it."""
        if not self._place.at_hand or (state := self._state()) is None:
            return None
        space = space_of(FORMAT, self._fingerprint, state, trace.filters, trace.limit, trace.history)
        key = key_of(space, normalized(question, self._normalize))
        if (value := self._readable(key)) is None:
            return None
        self._count(value)
        return Looked(question, value, key, space, state)

    def still(self, looked: Looked) -> bool:
        """Whether what `peek` gave is still so; if it is, that is another hit."""
        value = looked.value
        if value is None or self._state() != looked.state or self._place.get(looked.key) is not value:
            return False
        self._count(value)
        return True

    def keep(self, looked: Looked, value: Mapping[str, Any]) -> None:
        """Keep what was computed, unless the corpus has changed meanwhile."""
        flight = looked.flight
        if flight is None:
            return
        try:
            current = looked.state is not None and self._state() == looked.state
            if current and self._place.put(looked.key, Entry(value, looked.space, looked.vector)):
                self._add({"stores": 1})
            flight.value = value
            self._share()
        finally:
            self._flights.land(looked.key, flight)

    def give_up(self, looked: Looked, error: Exception | None = None) -> None:
        """There is nothing to keep: an error, which is that of all who wait, or something that only the asker wants."""
        if looked.flight is not None:
            looked.flight.error = error
            self._flights.land(looked.key, looked.flight)

    def statistics(self) -> dict[str, Any]:
        """What this process has had of it."""
        with self._lock:
            own = dict(self._own)
        counts: dict[str, Any] = {name: int(own.get(name, 0)) for name in ("hits", "misses", "stores", "saved_tokens")}
        held = self._place.holding()
        kept = {"entries": held.entries, "bytes": held.bytes, "evictions": held.evictions} if held else {}
        return {**counts, "saved_s": round(own.get("saved_s", 0.0), 3), "errors": self._place.errors, **kept}

    def clear(self) -> int:
        """Forget everything; returns how many entries there were. Raises what the place raises."""
        return self._place.clear()

    def close(self) -> None:
        """Let go of the place."""
        self._share(anyway=True)
        self._place.close()

    def _find(self, key: str, space: str, same: str) -> tuple[Mapping[str, Any] | None, bytes | None]:
        value = self._readable(key)
        if value is not None or self._semantic is None:
            return value, None
        semantic = self._semantic
        # Where the model is away, the retrievers that need it say so; a question of words alone is answered.
        vector = self._place.attempt(lambda: semantic.vector(same), None)
        if vector is None:
            return None, None
        for near in semantic.near(self._place, space, vector):
            value = self._readable(near)
            if value is not None:
                return value, None
            semantic.forget(space, near)
        return None, vector.tobytes()

    def _readable(self, key: str) -> Mapping[str, Any] | None:
        value = self._place.get(key)
        if value is None or {"nodes", "seconds", "tokens"} <= value.keys():
            return value
        self._place.remove(key)
        return None

    def _is_hot(self, key: str) -> bool:
        if self._min_hits == 1:
            return True
        with self._lock:
            times = self._asked.pop(key, 0) + 1
            self._asked[key] = times
            if len(self._asked) > _COUNTED:
                self._asked.popitem(last=False)
            return times >= self._min_hits

    def _count(self, value: Mapping[str, Any]) -> None:
        self._add({"hits": 1, "saved_s": value["seconds"], "saved_tokens": sum(value["tokens"])})

    def _add(self, numbers: Mapping[str, float]) -> None:
        with self._lock:
            for name, number in numbers.items():
                self._own[name] = self._own.get(name, 0) + number
                self._unshared[name] = self._unshared.get(name, 0) + number

    def _share(self, *, anyway: bool = False) -> None:
        """Add to the totals of all who use the place; now and then, since that is a write."""
        now = time.monotonic()
        with self._lock:
            if not self._unshared or not (anyway or now - self._shared > _SHARED_EVERY_S):
                return
            numbers, self._unshared, self._shared = self._unshared, {}, now
        self._place.add(numbers)
