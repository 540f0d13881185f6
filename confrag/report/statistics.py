"""Intervals and tests over paired per-query scores. Scores are `[jobs, n] float64`; NaN: the job lacks that query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALPHA", "RESAMPLES", "Comparison", "compare", "groups", "holm", "intervals", "sign_flip_p"]

ALPHA = 0.05
RESAMPLES = 10_000
_SEED = 20_240_229
_CHUNK = 1_000
_EXACT = 13  # 2 ** 13 sign patterns are fewer than RESAMPLES

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One job against a reference, over the queries that both have.

    Attributes:
        n: how many queries both have.
        difference: mean of job minus reference.
        low, high: 95 % bootstrap interval of the difference.
        effect: Cohen's d of paired samples (mean of the differences over their standard deviation); None where the
            differences do not vary.
        wins, ties, losses: on how many queries the job is better, equal, worse.
        p: two-sided p-value of the paired randomisation test, uncorrected.
        p_holm: the same after Holm's correction for the family of tests.
    """

    n: int
    difference: float
    low: float
    high: float
    effect: float | None
    wins: int
    ties: int
    losses: int
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the difference is significant at the level of 5 % after correction."""
        return self.p_holm < ALPHA


def intervals(scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % percentile bootstrap intervals of the means over queries.

    All rows are resampled with the same draws, of a fixed seed: equal rows have equal intervals.

    Returns:
        The lower and the upper bounds, `[rows]`; NaN for a row without any score.
    """
    rows, n = scores.shape
    if not rows or not n:
        return np.full(rows, np.nan), np.full(rows, np.nan)
    known = ~np.isnan(scores)
    filled = np.where(known, scores, 0.0)
    means = np.empty((RESAMPLES, rows))
    for start, weights in _draws(n):
        with np.errstate(invalid="ignore", divide="ignore"):
            counts = n if known.all() else weights @ known.T.astype(np.float64)
            means[start : start + len(weights)] = (weights @ filled.T) / counts
    low, high = np.full(rows, np.nan), np.full(rows, np.nan)
    filled_rows = known.any(axis=1)
    if filled_rows.any():
        low[filled_rows], high[filled_rows] = np.nanquantile(means[:, filled_rows], [0.025, 0.975], axis=0)
    return low, high


def sign_flip_p(differences: Scores) -> NDArray[np.float64]:
    """Two-sided p-values of the paired randomisation test (Fisher; Smucker et al., CIKM 2007).

    Under the null hypothesis the two configurations are exchangeable on each query, so that the sign of each
    difference is arbitrary. Up to 13 queries all patterns of signs are counted, else 10,000 random ones, the observed
    one among them.

    Args:
        differences: `[tests, n]`; NaN where one of the two lacks the query.

    Returns:
        `[tests]`, each above 0 and at most 1.
    """
    filled = np.nan_to_num(differences)
    tests, n = filled.shape
    observed = np.abs(filled.sum(axis=1))
    # Sums of the same numbers in another order differ in their last digits.
    bound = observed - 1e-9 * np.maximum(np.abs(filled).sum(axis=1), 1e-12)
    reached = np.zeros(tests)
    total = 0
    for signs in _signs(n):
        reached += (np.abs(signs @ filled.T) >= bound).sum(axis=0)
        total += len(signs)
    exact = n <= _EXACT
    result: NDArray[np.float64] = reached / total if exact else (reached + 1) / (total + 1)
    return result


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values, in the order given.

    Controls the probability of a single false claim among all of the tests (Holm, 1979).
    """
    order = sorted(range(len(p)), key=lambda index: p[index])
    adjusted = [0.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


def compare(scores: Scores, reference: int) -> dict[int, Comparison]:
    """Each other row against the row `reference`; one family of tests for Holm's correction."""
    rows = [row for row in range(len(scores)) if row != reference]
    if not rows:
        return {}
    differences = scores[rows] - scores[reference]
    p = sign_flip_p(differences)
    low, high = intervals(differences)
    adjusted = holm(p.tolist())
    return {
        row: _comparison(differences[index], low[index], high[index], p[index], adjusted[index])
        for index, row in enumerate(rows)
    }


def _comparison(differences: Scores, low: Any, high: Any, p: Any, p_holm: float) -> Comparison:
    known = differences[~np.isnan(differences)]
    mean = float(known.mean()) if known.size else 0.0
    deviation = float(known.std(ddof=1)) if known.size > 1 else 0.0
    effect = mean / deviation if deviation > 1e-12 else None
    wins, losses = int((known > 0).sum()), int((known < 0).sum())
    bounds = (float(low), float(high)) if known.size else (0.0, 0.0)
    return Comparison(known.size, mean, *bounds, effect, wins, known.size - wins - losses, losses, float(p), p_holm)


def groups(scores: Scores) -> list[int]:
    """The rank group of each job: 1 for the best and all that do not differ from it significantly, and so on.

    The best job of those that have no group yet is compared with the others of these; whatever does not differ from
    it after Holm's correction joins it.
    """
    means = np.array([np.nanmean(row) if (~np.isnan(row)).any() else -np.inf for row in scores])
    left = sorted(range(len(scores)), key=lambda row: -means[row])
    result = [0] * len(scores)
    group = 0
    while left:
        group += 1
        leader, *rest = left
        adjusted = holm(sign_flip_p(scores[rest] - scores[leader]).tolist()) if rest else []
        left = [row for row, p in zip(rest, adjusted, strict=True) if p < ALPHA]
        for row in {leader, *rest} - set(left):
            result[row] = group
    return result


def _draws(n: int) -> Iterator[tuple[int, Scores]]:
    """(start, how often each query was drawn `[chunk, n]`), the same at each call."""
    weights = _weights(n)
    return ((start, weights[start : start + _CHUNK].astype(np.float64)) for start in range(0, RESAMPLES, _CHUNK))


@lru_cache(maxsize=4)
def _weights(n: int) -> NDArray[np.uint16]:
    drawn = np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return drawn.astype(np.uint16)


def _signs(n: int) -> Iterator[Scores]:
    """Patterns of signs, `[chunk, n]` each, the same at each call."""
    patterns = _patterns(n)
    return (patterns[start : start + _CHUNK].astype(np.float64) for start in range(0, len(patterns), _CHUNK))


@lru_cache(maxsize=4)
def _patterns(n: int) -> NDArray[np.int8]:
    if n <= _EXACT:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(_SEED).integers(0, 2, size=(RESAMPLES - 1, n), dtype=np.int8)
    return (bits * 2 - 1).astype(np.int8)
