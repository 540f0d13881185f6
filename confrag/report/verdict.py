"""What a reader wants to know first: which configuration to take, whether it is really better, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confrag.report import figures
from confrag.report.sentences import counted, median_ms, metric_label, same_scores

__all__ = ["advised", "verdict"]

_NOTABLE = 0.8  # of the best one's latency: what is hardly faster is not worth a word


def advised(data: Mapping[str, Any]) -> str:
    """The name of the configuration to take: the best, or one that is as good on every query and notably faster."""
    rival = _faster(data)
    taken = rival if rival and same_scores(rival["against_best"]) else data["jobs"][0]
    return str(taken["name"])


def verdict(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """Questions with their answers, in plain words.

    Args:
        data: a report, complete but for its sentences, with what is `advised`.

    Returns:
        ``question`` and ``answer`` of each.
    """
    best = data["jobs"][0]
    rival = _faster(data)
    taken = next(job for job in data["jobs"] if job["name"] == data["advised"])
    answers = {"What does it cost?": _cost(data, taken)}
    if len(data["jobs"]) > 1:
        answers = {
            "Which one to take?": _take(best, rival),
            "Is it really better?": _better(data),
            **answers,
        }
    return [{"question": question, "answer": answer} for question, answer in answers.items() if answer]


def _faster(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The fastest of those that do not differ from the best significantly; None unless it is notably faster."""
    limit = _NOTABLE * (median_ms(data["jobs"][0]) or 0.0)
    known = [job for job in data["jobs"][1:] if job["group"] == 1 and median_ms(job) is not None]
    return min((job for job in known if median_ms(job) < limit), key=median_ms, default=None)


def _take(best: Mapping[str, Any], rival: Mapping[str, Any] | None) -> str:
    if rival is None:
        return f"{best['name']}."
    times = f"{figures.duration(median_ms(rival))} a query instead of {figures.duration(median_ms(best))}"
    if same_scores(rival["against_best"]):
        return f"{rival['name']}. It scores as {best['name']} does on every query, and is faster: {times}."
    return (
        f"{best['name']}; or, where time counts, {rival['name']}: {times}. It scores "
        f"{figures.score(abs(rival['against_best']['difference']))} less, which may be chance."
    )


def _better(data: Mapping[str, Any]) -> str:
    best, others = data["jobs"][0], data["jobs"][1:]
    compared = [job["against_best"] for job in others if job["against_best"]]
    worse = sum(comparison["significant"] for comparison in compared)
    alike = sum(map(same_scores, compared))
    open_ = len(compared) - worse - alike
    queries = counted(data["queries_compared"], "query", "queries")
    if not compared:
        return ""
    if alike == len(compared):
        return "No: all configurations score alike on every query."
    parts = []
    if worse:
        whom = "the other one" if len(compared) == 1 else f"{worse} of the {len(compared)} others"
        parts.append(f"{best['name']} is better than {whom} by more than chance explains")
    if alike:
        parts.append(f"{alike} scores alike on every query" if alike == 1 else f"{alike} score alike on every query")
    if open_:
        whom = str(open_) if worse or alike else "the other" if open_ == 1 else "the others"
        parts.append(f"the difference to {whom} may be chance: {queries} do not tell")
    text = "; ".join(parts)
    if not worse:
        text = f"That is not shown. {text[0].upper()}{text[1:]}"
    return f"{text}.{_against_baseline(data)}"


def _against_baseline(data: Mapping[str, Any]) -> str:
    comparison = data["jobs"][0].get("against_baseline")
    if not comparison:
        return ""
    how = "more than chance explains" if comparison["significant"] else "which may be chance"
    return f" Against the baseline, {data['baseline']}: {figures.signed(comparison['difference'])}, {how}."


def _cost(data: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    total = taken["latency_ms"].get("total") or {}
    parts = []
    if total.get("p50") is not None:
        parts.append(
            f"Half of the queries to {taken['name']} are answered within {figures.duration(total['p50'])}, 95 % within "
            f"{figures.duration(total.get('p95'))}."
        )
    if taken["cost_per_1000"] is not None:
        parts.append(f"1,000 queries cost {figures.cost(taken['cost_per_1000'], taken['currency'])}.")
    elif taken["tokens_per_query"]:
        parts.append(f"A query takes {figures.count(taken['tokens_per_query'])} tokens; no price is declared.")
    metric = data["metric"]
    measured = [job for job in data["jobs"] if median_ms(job) is not None and metric in job["metrics"]]
    fastest = min(measured, key=median_ms, default=taken)
    if fastest is not taken and median_ms(fastest) < _NOTABLE * (median_ms(taken) or 0.0):
        parts.append(
            f"The fastest of all is {fastest['name']}: {figures.duration(median_ms(fastest))}, with "
            f"{metric_label(metric)} {figures.score(fastest['metrics'][metric]['mean'])}."
        )
    return " ".join(parts)
