"""The Pareto front: configurations that no other one beats in everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["front"]


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each point is on the front; smaller is better on every axis.

    A point is off the front when another one is at least as good on all axes and better on one. Equal points are on
    it, or off it, together.

    Args:
        points: `[n, axes]`.
    """
    if not points:
        return []
    table: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
    not_worse = np.all(table[:, None] <= table[None], axis=2)
    better = np.any(table[:, None] < table[None], axis=2)
    beaten: NDArray[np.bool_] = np.any(not_worse & better, axis=0)
    return [not each for each in beaten]
