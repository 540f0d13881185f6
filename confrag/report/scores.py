"""From the lines of queries to tables of scores."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from confrag.report.model import Job
from confrag.report.statistics import Scores

__all__ = ["metric_names", "query_ids", "table", "wrong"]


def query_ids(jobs: Sequence[Job]) -> list[str]:
    """The ids of all queries, numbers by their value: the order does not depend on the order of the jobs."""
    return sorted({query for job in jobs for query in job.rows}, key=_natural)


def _natural(text: str) -> list[tuple[bool, int, str]]:
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]+)", text)]


def metric_names(jobs: Sequence[Job]) -> list[str]:
    """The metrics that were measured of single queries, in their order."""
    return list(dict.fromkeys(name for job in jobs for row in job.rows.values() for name in row.get("metrics") or {}))


def table(jobs: Sequence[Job], queries: Sequence[str], metric: str) -> Scores:
    """The scores of a metric, `[jobs, queries]`; NaN where it was not measured."""
    return np.array([[_score(job.rows.get(query), metric) for query in queries] for job in jobs], dtype=np.float64)


def _score(row: Mapping[str, Any] | None, metric: str) -> float:
    value = (row or {}).get("metrics", {}).get(metric)
    return float("nan") if value is None else float(value)


def wrong(row: Mapping[str, Any], metric: str) -> bool:
    """Whether a query was answered wrongly: below half of the words of the reference, or nothing relevant found."""
    metrics = row.get("metrics") or {}
    if row.get("error"):
        return True
    if (f1 := metrics.get("f1")) is not None:
        return bool(f1 < 0.5)
    value = metrics.get(metric)
    return value is not None and bool(value <= 0)
