"""The leaderboard, in a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from confrag.report import figures
from confrag.report.sentences import metric_label

__all__ = ["table"]

_WIDTH = 140
_FURTHER = 3


def table(data: Mapping[str, Any], width: int | None = None) -> str:
    """The leaderboard as text; what failed stands below.

    Args:
        data: what `build` returns.
        width: of the terminal, in columns; None: where nothing has to fit a screen.
    """
    from rich.console import Console
    from rich.table import Table

    metric, jobs = data["metric"], data["jobs"]
    others = [name for name in data["metrics"] if name != metric][:_FURTHER]
    priced = any(job["cost_per_1000"] is not None for job in jobs)
    result = Table(title=_title(data), caption=data["sentences"]["summary"], caption_justify="left")
    columns = [
        "",
        "configuration",
        metric_label(metric),
        "95 % interval",
        "against best, p",
        *map(metric_label, others),
    ]
    for name in (*columns, "p50", "p95", *(["cost of 1,000"] if priced else [])):
        result.add_column(name, justify="left" if name in ("configuration", "") else "right", overflow="fold")
    for job in jobs:
        result.add_row(
            str(job["rank"]), _plain(job["name"]), *_quality(job, metric),
            *(figures.score(job["metrics"].get(name, {}).get("mean")) for name in others),
            *(figures.duration((job["latency_ms"].get("total") or {}).get(which)) for which in ("p50", "p95")),
            *([figures.cost(job["cost_per_1000"], job["currency"])] if priced else []),
            end_section=job["rank"] < len(jobs) and jobs[job["rank"]]["group"] > job["group"],
        )  # fmt: skip
    out = io.StringIO()
    console = Console(file=out, width=width or _WIDTH, highlight=False, emoji=False)
    console.print(result)
    for failed in data["failures"]["jobs"]:
        reason = failed["error"] or "not finished; go on with resume=true"
        console.print(f"{failed['status']}: {failed['name']}: {reason}", markup=False)
    return out.getvalue()


def _title(data: Mapping[str, Any]) -> str:
    dataset = data["dataset"]
    split = f" ({dataset['split']})" if dataset.get("split") else ""
    return _plain(f"{dataset.get('name')}{split}, {data['queries_compared']:,} queries")


def _quality(job: Mapping[str, Any], metric: str) -> tuple[str, str, str]:
    found, against = job["metrics"].get(metric), job["against_best"]
    if not found:
        return "–", "", ""
    low, high = found["interval"]
    compared = f"{figures.signed(against['difference'])}, {figures.p_value(against['p_holm'])}" if against else "best"
    return figures.score(found["mean"]), f"{figures.score(low)}–{figures.score(high)}", compared


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
