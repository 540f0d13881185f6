"""What each swept key does to a metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from confrag.report.model import Job
from confrag.report.naming import swept_keys
from confrag.report.statistics import Scores, compare, intervals

__all__ = ["effects"]

DEFAULT = "(default)"


def effects(jobs: Sequence[Job], scores: Scores) -> list[dict[str, Any]]:
    """The effect of each key whose value differs, largest first.

    Where a value was tried together with the same other keys as all other values of its key (a complete block), the
    values are compared within these blocks, query by query. Elsewhere (a sampler that draws) there are only means, and
    for numbers a rank correlation.

    Args:
        jobs: finished ones.
        scores: `[jobs, n]`, aligned with `jobs`.
    """
    keys = swept_keys(jobs)
    settings = [{key: job.assigned.get(key, DEFAULT) for key in keys} for job in jobs]
    found = [_effect(key, settings, scores) for key in keys]
    return sorted(found, key=lambda effect: -(effect["share"] or 0.0))


def _effect(key: str, settings: Sequence[Mapping[str, str]], scores: Scores) -> dict[str, Any]:
    values = sorted(dict.fromkeys(setting[key] for setting in settings), key=_order)
    blocks: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, setting in enumerate(settings):
        others = tuple(value for other, value in setting.items() if other != key)
        blocks[others][setting[key]].append(row)
    complete = [block for block in blocks.values() if len(block) == len(values)]
    result: dict[str, Any] = {"key": key, "paired": bool(complete), "blocks": len(complete), "correlation": None}
    means = _means(scores)
    if complete:
        used = [(value, row) for block in complete for value in values for row in block[value]]
        # First within a block, then over the blocks: a combination that ran twice counts once.
        averaged = np.stack([_mean(np.stack([_mean(scores[block[value]]) for block in complete])) for value in values])
        result["values"] = _compared(values, averaged, len(complete))
    else:
        used = [(setting[key], row) for row, setting in enumerate(settings)]
        result["values"] = [_plain(value, [means[row] for v, row in used if v == value]) for value in values]
    numeric = all(_number(value) is not None for value in values)
    if not complete and numeric and len(values) >= 4:
        result["correlation"], result["share"] = _correlation(used, means)
    else:
        result["share"] = _share(used, means)
    return result


def _compared(values: Sequence[str], averaged: Scores, blocks: int) -> list[dict[str, Any]]:
    low, high = intervals(averaged)
    means = _means(averaged)
    best = int(np.nanargmax(means))
    found = compare(averaged, best)
    return [
        {
            "value": value,
            "jobs": blocks,
            "mean": float(means[row]),
            "interval": [float(low[row]), float(high[row])],
            "difference": found[row].difference if row in found else 0.0,
            "p_holm": found[row].p_holm if row in found else None,
            "best": row == best,
        }
        for row, value in enumerate(values)
    ]


def _plain(value: str, means: Sequence[float]) -> dict[str, Any]:
    return {
        "value": value,
        "jobs": len(means),
        "mean": float(np.mean(means)),
        "interval": None,
        "difference": None,
        "p_holm": None,
        "best": False,
    }


def _share(used: Sequence[tuple[str, int]], means: NDArray[np.float64]) -> float:
    """Which part of the variance between jobs lies between the values of the key (eta squared)."""
    by_value: dict[str, list[float]] = defaultdict(list)
    for value, row in used:
        by_value[value].append(float(means[row]))
    everything = np.concatenate([np.asarray(group) for group in by_value.values()])
    total = float(((everything - everything.mean()) ** 2).sum())
    between = sum(len(group) * (np.mean(group) - everything.mean()) ** 2 for group in by_value.values())
    # Equal means differ in their last digits: that explains nothing.
    return round(min(1.0, float(between) / total), 9) if total > 1e-15 else 0.0


def _correlation(used: Sequence[tuple[str, int]], means: NDArray[np.float64]) -> tuple[float | None, float]:
    """Spearman's rank correlation of a number with the metric, and its square."""
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    outcomes = [means[row] for _, row in used]
    if np.ptp(outcomes) < 1e-12:
        return None, 0.0
    rho = float(spearmanr([_number(value) for value, _ in used], outcomes).statistic)
    return rho, rho * rho


def _mean(scores: Scores) -> Scores:
    """The mean over the first axis, of what is known; NaN where nothing is."""
    known = ~np.isnan(scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Scores = np.where(known, scores, 0.0).sum(axis=0) / known.sum(axis=0)
    return result


def _means(scores: Scores) -> NDArray[np.float64]:
    return _mean(scores.T)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _order(value: str) -> tuple[bool, float]:
    number = _number(value)
    return (number is None, number or 0.0)
