"""What differs between a job and its repetition: the circumstances, and the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Difference", "of_answers", "of_circumstances", "of_evaluations"]

_TIMES = ("started", "ended")
Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        what: a path (``packages.numpy``), a metric, or a query.
        before: its value in the job.
        now: its value in the repetition; None: it is gone.
    """

    what: str
    before: Any
    now: Any


def of_circumstances(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """What the results may depend on: versions, models, data, seed, machine.

    Args:
        before: what the job has kept, ``eval.json`` or ``run.json``.
        now: the same of the repetition.
    """
    return list(_leaves_that_differ(_circumstances(before), _circumstances(now)))


def of_evaluations(before: Mapping[str, Any], now: Mapping[str, Any], rows: Rows, rows_now: Rows) -> list[Difference]:
    """Results of an evaluation: the means, then the queries, in their order. How long it took is no result.

    Args:
        before: ``eval.json`` of the job.
        now: the same of the repetition.
        rows: query id -> line of ``queries.jsonl``.
        rows_now: the same of the repetition.
    """
    means = _leaves_that_differ({"metrics": before["metrics"]}, {"metrics": now["metrics"]})
    queries = (_leaves_that_differ(_row(rows, query), _row(rows_now, query)) for query in {**rows, **rows_now})
    return [*means, *(difference for found in queries for difference in found)]


def of_answers(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Results of a run: the texts of its answers, and what they were taken from.

    Args:
        before: the answers in ``run.json`` of the job.
        now: the same of the repetition, to the same questions in the same order.
    """
    pairs = zip(before, now, strict=True)
    return [difference for old, new in pairs for difference in _leaves_that_differ(_answer(old), _answer(new))]


def _circumstances(document: Mapping[str, Any]) -> dict[str, Any]:
    about = {key: value for key, value in document["provenance"].items() if key not in _TIMES}
    data = {"corpus": {"version": document["corpus"]["version"]}}
    return {**about, **data, "dataset": {"hash": document.get("dataset", {}).get("hash")}}


def _row(rows: Rows, query: str) -> dict[str, Any]:
    row = rows.get(query)
    if row is None:
        return {f"query {query}": None}
    found = {
        "metrics": row["metrics"],
        "ranking": [document for document, _ in row["ranking"]],
        "answer": row["answer"],
        "error": row["error"],
    }
    return {f"query {query}": found}


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    sources = [[source["file"], source["text"]] for source in answer["sources"]]
    return {repr(answer["query"]): {"answer": answer["answer"], "sources": sources}}


def _leaves_that_differ(before: Any, now: Any, path: str = "") -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in {**before, **now}:
            yield from _leaves_that_differ(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif before != now:
        yield Difference(path, before, now)
