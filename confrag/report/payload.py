"""What the browser of queries needs, small: every text is stored once and named by its number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from confrag.report.model import Job, Results

__all__ = ["embedded", "payload"]

SHOWN_SOURCES = 10
_DIGITS = 3


class _Texts:
    """Texts by number: the same passage is found by many configurations."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: object) -> int:
        return self._numbers.setdefault("" if text is None else str(text), len(self._numbers))

    def listed(self) -> list[str]:
        return list(self._numbers)


def payload(data: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """The queries with what each job answered, jobs in the order of the leaderboard.

    Returns:
        ``jobs``, ``texts``, and ``queries``; of these each has, by job, ``[score, answer, sources, ranks, error, ms,
        flags]``, and of each source ``[document, file, route, text, score, flags]``, texts by number. The page's
        ``data.js`` is the only reader.
    """
    by_name = {job.name: job for job in results.done}
    jobs = [by_name[entry["name"]] for entry in data["jobs"]]
    texts = _Texts()
    queries = []
    for entry in data["queries"]:
        gold = _gold(jobs, entry["id"])
        wrong = set(entry["wrong"])
        queries.append(
            {
                "id": entry["id"],
                "query": entry["query"],
                "spread": round(entry["spread"], 4),
                "gold": {"documents": gold["documents"], "answers": gold["answers"]},
                "runs": [_run(job, entry, gold, job.name in wrong, texts) for job in jobs],
            }
        )
    return {"jobs": [job.name for job in jobs], "metric": data["metric"], "texts": texts.listed(), "queries": queries}


def embedded(value: object) -> str:
    """JSON that may stand inside a script element, whatever documents and answers hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # "<" alone covers </script> and <!--; the others are no line ends in JSON, but were in JavaScript.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _gold(jobs: list[Job], query: str) -> dict[str, Any]:
    for job in jobs:
        if query in job.rows:
            gold = job.rows[query].get("gold") or {}
            return {"documents": gold.get("documents") or {}, "answers": gold.get("answers") or []}
    return {"documents": {}, "answers": []}


def _run(job: Job, entry: Mapping[str, Any], gold: Mapping[str, Any], wrong: bool, texts: _Texts) -> list[Any] | None:
    row = job.rows.get(entry["id"])
    if row is None:
        return None
    relevant = {document for document, grade in gold["documents"].items() if grade > 0}
    cited = set(row.get("citations") or ())
    sources = [
        _source(source, number in cited, relevant, gold["answers"], texts)
        for number, source in enumerate((row.get("sources") or [])[:SHOWN_SOURCES], start=1)
    ]
    ranks = [rank for rank, (document, *_) in enumerate(row.get("ranking") or (), start=1) if document in relevant]
    answer = row.get("answer")
    score = entry["scores"][job.name]
    return [
        None if score is None else round(score, 4),
        None if answer is None else texts.number(answer),
        sources,
        ranks,
        row.get("error"),
        _rounded((row.get("timings_ms") or {}).get("total"), 1),
        int(wrong) | bool(row.get("cached")) << 1 | bool(row.get("partial")) << 2,
    ]


def _source(source: Mapping[str, Any], cited: bool, relevant: set[str], answers: list[str], texts: _Texts) -> list[Any]:
    text = str(source.get("text") or "")
    holds = any(answer and answer.lower() in text.lower() for answer in answers)
    score = source.get("rerank_score")
    return [
        texts.number(source.get("document")),
        texts.number(source.get("file")),
        texts.number(source.get("route")),
        texts.number(text),
        _rounded(source.get("score") if score is None else score, _DIGITS),
        int(source.get("document") in relevant) | holds << 1 | cited << 2,
    ]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
