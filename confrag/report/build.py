"""From jobs to the data of a report: what ``report.json`` holds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from confrag.errors import UserError, nearest
from confrag.report.effects import effects
from confrag.report.model import Job, Results
from confrag.report.pareto import front
from confrag.report.scores import metric_names, query_ids, table, wrong
from confrag.report.sentences import sentences
from confrag.report.statistics import ALPHA, RESAMPLES, Comparison, Scores, compare, groups, intervals
from confrag.report.verdict import advised, verdict

__all__ = ["build", "find_job"]

FORMAT = 1
PREFERRED = ("ndcg@10", "f1", "exact_match")


def build(results: Results, baseline: str | None = None, metric: str | None = None) -> dict[str, Any]:
    """Compare the jobs.

    Args:
        results: what was read.
        baseline: a job to compare the others with, besides the best: its name, its number, or overrides that only it
            has (``conf=map,recall=dense``). Default: what the sweep names, else none.
        metric: by which the jobs are ranked. Default: the first objective of the sweep that is a metric.

    Returns:
        Plain data, ready for JSON; jobs best first, those without figures last.

    Raises:
        UserError: a metric or baseline that does not exist.
    """
    done = results.done
    queries = query_ids(done)
    names = metric_names(done)
    chosen = _metric(metric, names, results)
    tables = {name: table(done, queries, name) for name in names}
    scores = tables[chosen]
    entries = _leaderboard(done, tables, scores, chosen)
    reference = find_job(done, baseline, "baseline") if baseline is not None else _declared_baseline(results)
    best = entries[0]["name"]
    _against(entries, "against_best", _row(done, best), done, scores)
    if reference:
        _against(entries, "against_baseline", _row(done, reference.name), done, scores)
    data: dict[str, Any] = {
        "format": FORMAT,
        "metric": chosen,
        "metrics": names,
        "best": best,
        "baseline": reference.name if reference else None,
        "dataset": dict(results.dataset),
        "queries_compared": len(queries),
        "sweeps": [{"folder": str(s.folder), "command": shlex.join(s.command)} for s in results.sweeps],
        "jobs": entries,
        "pareto": _pareto(entries, chosen),
        "effects": effects(done, scores),
        "queries": _differences(done, queries, scores, chosen),
        "failures": _failures(results),
        "method": {
            "interval": f"95 % percentile bootstrap over queries, {RESAMPLES:,} resamples, fixed seed",
            "test": f"paired randomisation test, two-sided, {RESAMPLES:,} sign patterns (all of them up to 13 queries)",
            "correction": f"Holm, level {ALPHA:g}",
        },
    }
    data["advised"] = advised(data)
    data["verdict"] = verdict(data)
    data["sentences"] = sentences(data)
    return data


def find_job(jobs: Sequence[Job], wanted: str, option: str) -> Job:
    """The job that a user names: by its name, its number, or overrides that only it has.

    Raises:
        UserError: there is none, or there are several.
    """
    overrides = {part.strip() for part in wanted.split(",")}
    for found in (
        [job for job in jobs if job.name == wanted],
        [job for job in jobs if job.folder.name == wanted],
        [job for job in jobs if overrides <= set(job.overrides)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"'{job.name}'" for job in found)
            raise UserError(f"{option}={wanted}: {len(found)} jobs are meant: {listed}; name one of them")
    hint = nearest(wanted, [job.name for job in jobs])
    known = ", ".join(f"'{job.name}'" for job in jobs)
    raise UserError(
        f"{option}={wanted}: there is no such job that is done; known: {known}"
        + (f". Did you mean '{hint}'?" if hint else "")
    )


def _declared_baseline(results: Results) -> Job | None:
    """The baseline that a sweep names; None where that job failed: its report is due all the same."""
    for sweep in results.sweeps:
        if sweep.baseline:
            with suppress(UserError):
                return find_job(results.done, str(sweep.baseline), "baseline")
    return None


def _metric(wanted: str | None, names: Sequence[str], results: Results) -> str:
    if wanted is not None and wanted not in names:
        hint = nearest(wanted, names)
        raise UserError(
            f"metric={wanted}: was not measured of single queries; known: {', '.join(names)}"
            + (f". Did you mean '{hint}'?" if hint else "")
        )
    if not names:
        raise UserError("no job has a metric of a single query; evaluate with eval.metrics=[ndcg@10]")
    objectives = [name for sweep in results.sweeps for name in sweep.objective]
    objectives += [name for job in results.done for name in job.document.get("objective") or {}]
    candidates = [*([wanted] if wanted else []), *objectives, *PREFERRED, *names]
    return next(name for name in candidates if name in names)


def _leaderboard(
    jobs: Sequence[Job], tables: Mapping[str, Scores], scores: Scores, metric: str
) -> list[dict[str, Any]]:
    bounds = {name: intervals(values) for name, values in tables.items()}
    group = groups(scores)
    entries = []
    for row, job in enumerate(jobs):
        metrics = {
            name: {
                "mean": float(np.nanmean(values[row])),
                "interval": [float(bounds[name][0][row]), float(bounds[name][1][row])],
                "n": int((~np.isnan(values[row])).sum()),
            }
            for name, values in tables.items()
            if not np.isnan(values[row]).all()
        }
        entries.append({**_described(job), **_costs(job), "group": group[row], "metrics": metrics})
    # Equal figures in the order of their names, not of the folders.
    entries.sort(key=lambda entry: (-entry["metrics"].get(metric, {"mean": -np.inf})["mean"], entry["name"]))
    return [{"rank": rank, **entry} for rank, entry in enumerate(entries, start=1)]


def _described(job: Job) -> dict[str, Any]:
    document = job.document
    return {
        "name": job.name,
        "folder": str(job.folder),
        "conf": document.get("conf"),
        "overrides": list(job.overrides),
        "provenance": document.get("provenance"),
    }


def _costs(job: Job) -> dict[str, Any]:
    """Latency, tokens and money, of a query that was answered; cost of 1,000, as one costs too little to read."""
    document, failed = job.document, sum(bool(row.get("error")) for row in job.rows.values())
    answered = max(len(job.rows) - failed, 1)
    tokens, cost, cache = (document.get(key) or {} for key in ("tokens", "cost", "cache"))
    return {
        "latency_ms": {stage: dict(value) for stage, value in (document.get("latency_ms") or {}).items()},
        "tokens_per_query": sum(tokens.values()) / answered if tokens else None,
        # Equal costs stay equal: quotients differ in their last digits.
        "cost_per_1000": float(f"{cost['amount'] / answered * 1000:.12g}") if cost else None,
        "currency": cost.get("currency"),
        "cache_hit_rate": cache.get("hit_rate"),
        "embedded": (document.get("corpus") or {}).get("embedded"),
        "seconds": sum((document.get("timings_s") or {}).values()),
        "judge": document.get("judge"),
        "failed_queries": failed,
    }


def _row(jobs: Sequence[Job], name: str) -> int:
    return [job.name for job in jobs].index(name)


def _against(entries: Sequence[dict[str, Any]], key: str, reference: int, jobs: Sequence[Job], scores: Scores) -> None:
    found = compare(scores, reference)
    by_name = {jobs[row].name: comparison for row, comparison in found.items()}
    for entry in entries:
        comparison = by_name.get(entry["name"])
        entry[key] = _plain(comparison) if comparison else None


def _plain(comparison: Comparison) -> dict[str, Any]:
    return {**asdict(comparison), "significant": comparison.significant}


def _pareto(entries: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Mark the entries on the front of quality and latency; and of cost where it differs, in one currency."""
    costs = {entry["cost_per_1000"] for entry in entries}
    priced = len(costs) > 1 and None not in costs and len({entry["currency"] for entry in entries}) == 1
    points = {}
    for entry in entries:
        entry["pareto"] = False
        latency = (entry["latency_ms"].get("total") or {}).get("p50")
        if latency is not None and metric in entry["metrics"]:
            axes = [-entry["metrics"][metric]["mean"], latency, *([entry["cost_per_1000"]] if priced else [])]
            points[entry["name"]] = axes
    best = {name for name, on_it in zip(points, front(list(points.values())), strict=True) if on_it}
    for entry in entries:
        entry["pareto"] = entry["name"] in best
    axes = ["quality", "latency_ms_p50", *(["cost_per_1000"] if priced else [])]
    return {"axes": axes, "front": [entry["name"] for entry in entries if entry["pareto"]]}


def _differences(jobs: Sequence[Job], queries: Sequence[str], scores: Scores, metric: str) -> list[dict[str, Any]]:
    """The queries, those first on which the jobs differ most."""
    entries = []
    for column, query in enumerate(queries):
        values = scores[:, column]
        known = values[~np.isnan(values)]
        rows = [(job.name, job.rows[query]) for job in jobs if query in job.rows]
        entries.append(
            {
                "id": query,
                "query": rows[0][1].get("query"),
                "spread": float(np.ptp(known)) if known.size else 0.0,
                "deviation": float(known.std()) if known.size else 0.0,
                "mean": float(known.mean()) if known.size else None,
                "scores": {job.name: None if np.isnan(v) else float(v) for job, v in zip(jobs, values, strict=True)},
                "wrong": [name for name, row in rows if wrong(row, metric)],
                "errors": {name: row["error"] for name, row in rows if row.get("error")},
            }
        )
    return sorted(entries, key=lambda entry: (-entry["spread"], -entry["deviation"]))


def _failures(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Jobs without figures, queries that failed, and documents that could not be read."""
    jobs = [
        {
            "name": job.name,
            "folder": str(job.folder),
            "status": job.status,
            "overrides": list(job.overrides),
            "error": job.document.get("error"),
        }
        for job in results.jobs
        if job.status != "done"
    ]
    queries = [
        {"name": job.name, "id": query, "error": row["error"]}
        for job in results.done
        for query, row in job.rows.items()
        if row.get("error")
    ]
    documents: dict[tuple[str, str], list[str]] = {}
    for job in results.done:
        for failed in (job.document.get("corpus") or {}).get("failed") or ():
            file, reason = (failed.get("file"), failed.get("reason")) if isinstance(failed, Mapping) else (failed, "")
            documents.setdefault((str(file), str(reason)), []).append(job.name)
    return {
        "jobs": jobs,
        "queries": queries,
        "documents": [{"file": file, "error": reason, "jobs": names} for (file, reason), names in documents.items()],
    }
