"""Questions that were asked before and mean nearly the same, by their vectors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from confrag.build.cache.guarded import Guarded

__all__ = ["Semantic"]

Vector = NDArray[np.float32]
_SPACES = 32
"""Whose vectors are held: one for each set of filters that is in use."""
_TRIED = 3
"""Near questions that are looked up, where the entries of nearer ones are gone."""


class _Table:
    def __init__(self, token: object, keys: Sequence[str], vectors: Vector) -> None:
        self.token = token
        self.keys = list(keys)
        self.vectors = vectors
        self.gone: set[str] = set()


class Semantic:
    """Compares a question with all that are kept. Safe for threads.

    Args:
        embed: question -> vector; the same that the retrievers use, which therefore embed it no second time.
        threshold: cosine from which on two questions mean the same.
    """

    def __init__(self, embed: Callable[[str], Any], threshold: float) -> None:
        self._embed = embed
        self._threshold = threshold
        self._tables: OrderedDict[str, _Table] = OrderedDict()
        self._lock = threading.Lock()

    def vector(self, question: str) -> Vector:
        """The vector of a question, `[dim]`, of unit length."""
        vector = np.asarray(self._embed(question), np.float32)
        unit: Vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return unit

    def near(self, place: Guarded, space: str, vector: Vector) -> list[str]:
        """Keys of the nearest questions that are near enough, nearest first."""
        table = self._table(place, space, len(vector))
        if not table.keys:
            return []
        cosines = table.vectors @ vector
        rows = [int(row) for row in np.argsort(-cosines) if cosines[row] >= self._threshold]
        return [table.keys[row] for row in rows if table.keys[row] not in table.gone][:_TRIED]

    def forget(self, space: str, key: str) -> None:
        """An entry is gone."""
        with self._lock:
            if space in self._tables:
                self._tables[space].gone.add(key)

    def _table(self, place: Guarded, space: str, dim: int) -> _Table:
        with self._lock:
            table = self._tables.get(space)
        found = place.vectors(space, table.token if table else None)
        if found.items is None and table is not None:
            return table
        # Of another model's length, or damaged: what cannot be compared is no neighbour.
        held = {key: raw for key, raw in (found.items or {}).items() if len(raw) == 4 * dim}
        vectors = np.frombuffer(b"".join(held.values()), np.float32).reshape(len(held), dim)
        table = _Table(found.token, list(held), vectors)
        with self._lock:
            self._tables[space] = table
            self._tables.move_to_end(space)
            while len(self._tables) > _SPACES:
                self._tables.popitem(last=False)
        return table
