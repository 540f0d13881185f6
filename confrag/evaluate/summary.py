"""From the rows of an evaluation to its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from confrag.evaluate.answers import answer_metrics
from confrag.evaluate.dataset import Dataset, Query
from confrag.evaluate.judge import CORRECT, agreement, score
from confrag.evaluate.retrieval import retrieval_metrics
from confrag.schema.models import PriceSpec

__all__ = ["cost", "judged", "latencies", "means", "measured", "objectives", "tokens"]

Row = Mapping[str, Any]
_NOTHING: Mapping[str, Any] = {
    "ranking": [],
    "answer": None,
    "sources": [],
    "citations": [],
    "timings_ms": {},
    "tokens": {},
    "spent": {},
    "cached": False,
    "partial": False,
}
"""What there is of a query that failed."""
_SAME = 0.5
"""F1 from which on an answer counts as right."""


def measured(
    dataset: Dataset, queries: Sequence[Query], rows: Mapping[str, Row], metrics: Sequence[str], *, answering: bool
) -> list[dict[str, Any]]:
    """A row for each query, in their order, with its question, what is right, and its metrics.

    A query that failed counts as nothing found, and as a wrong answer: a configuration must not look better for it.
    """
    judged = {query.id: query.relevant for query in queries if query.relevant}
    rankings = {query.id: [document for document, _ in rows[query.id].get("ranking", ())] for query in queries}
    of_retrieval = retrieval_metrics(metrics, judged, rankings) if judged else {}
    made = []
    for query in queries:
        row = rows[query.id]
        of_answer = _of_answer(query, row, dataset.language) if answering else {}
        gold = {"documents": dict(query.relevant), "answers": list(query.answers)}
        values = {**of_retrieval.get(query.id, {}), **of_answer}
        made.append({"id": query.id, "query": query.text, "gold": gold, **_NOTHING, **row, "metrics": values})
    return made


def _of_answer(query: Query, row: Row, language: str) -> dict[str, float]:
    found = answer_metrics(row.get("answer") or "", query.answers, language) if query.answers else {}
    cited = [row["sources"][number - 1]["document"] for number in row.get("citations", ())]
    if cited and query.relevant:
        found["citation_precision"] = sum(query.relevant.get(document, 0) > 0 for document in cited) / len(cited)
    grade = row.get("judge", {}).get("grade")
    if grade is not None:
        found["judge"] = score(grade)
    return found


def means(rows: Iterable[Row]) -> dict[str, float]:
    """Each metric's mean over the queries that have it."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row["metrics"].items():
            values.setdefault(name, []).append(value)
    return {name: float(np.mean(column)) for name, column in values.items()}


def latencies(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Stage -> mean and percentiles in milliseconds, over the queries that were answered; a stage that never ran is
    left out."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for stage, milliseconds in row["timings_ms"].items():
            columns.setdefault(stage, []).append(milliseconds)
    found = {}
    for stage, column in columns.items():
        if any(column):
            p50, p95, p99 = np.percentile(column, (50, 95, 99))
            figures = {"mean": float(np.mean(column)), "p50": float(p50), "p95": float(p95), "p99": float(p99)}
            found[stage] = {name: round(value, 3) for name, value in figures.items()}
    return found


def tokens(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """``prompt`` and ``completion`` tokens in all."""
    total = {"prompt": 0, "completion": 0}
    for entry in counts:
        for kind in total:
            total[kind] += entry.get(kind, 0)
    return total


def cost(
    spent: Iterable[Mapping[str, Mapping[str, int]]], prices: Mapping[str, PriceSpec | None]
) -> dict[str, Any] | None:
    """What tokens cost; None where a price is not known, or in more than one currency.

    Args:
        spent: of each query, name of a model -> its tokens.
        prices: of all models that may be asked, by name.
    """
    known = {name: price for name, price in prices.items() if price}
    calls = [(name, counts) for models in spent for name, counts in models.items()]
    paid = {name for name, _ in calls} or set(prices)
    currencies = {known[name].currency for name in paid & known.keys()}
    if not paid <= known.keys() or len(currencies) != 1:
        return None
    amount = sum(
        counts["prompt"] * known[name].prompt + counts["completion"] * known[name].completion for name, counts in calls
    )
    return {"amount": round(amount / 1e6, 8), "currency": currencies.pop()}


def judged(rows: Sequence[Row], model: str, price: PriceSpec | None) -> dict[str, Any]:
    """What the judge thought, and how far exact match or F1 agrees: an answer is right with a grade of 4 or 5, and with
    an F1 of at least 0.5."""
    verdicts = [row["judge"] for row in rows if row.get("judge")]
    pairs = [
        (row["judge"]["grade"] >= CORRECT, row["metrics"]["exact_match"] == 1.0 or row["metrics"]["f1"] >= _SAME)
        for row in rows
        if row.get("judge") and row["judge"]["grade"] is not None and "f1" in row["metrics"]
    ]
    found = agreement(pairs)
    scores = [row["metrics"]["judge"] for row in rows if "judge" in row["metrics"]]
    used = tokens(verdict["tokens"] for verdict in verdicts)
    return {
        "model": model,
        "mean": float(np.mean(scores)) if scores else None,
        "graded": len(scores),
        "unusable": sum(verdict["grade"] is None and verdict["error"] is None for verdict in verdicts),
        "failed": sum(verdict["error"] is not None for verdict in verdicts),
        "agreement": {**asdict(found), "with": "f1", "queries": len(pairs)} if found else None,
        "tokens": used,
        "cost": cost([{model: used}], {model: price}),
    }


def objectives(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | None]:
    """The figures that a sweep is judged by; None where one was not measured.

    Args:
        document: what ``eval.json`` holds.
        names: as in `objective`.
    """
    total, paid = document["latency_ms"].get("total", {}), document["cost"]
    others = {f"latency_ms_{figure}": value for figure, value in total.items()}
    if paid:
        others["cost"] = paid["amount"]
    return {name: {**document["metrics"], **others}.get(name) for name in names}
