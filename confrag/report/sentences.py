"""What each part of a report says, in a plain sentence or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confrag.report import figures

__all__ = ["counted", "median_ms", "metric_label", "metric_meaning", "same_scores", "sentences"]

_LABELS = {
    "ndcg": "nDCG", "map": "MAP", "mrr": "MRR", "p": "precision", "recall": "recall", "exact_match": "exact match",
    "f1": "F1", "contains": "contains", "citation_precision": "citation precision", "judge": "judge",
}  # fmt: skip
_MEANINGS = {
    "ndcg": "how high the relevant documents stand in the ranking (1: all of them first)",
    "recall": "the share of the relevant documents that was found",
    "map": "the precision, averaged over the ranks of the relevant documents",
    "mrr": "one over the rank of the first relevant document",
    "p": "the share of what was found that is relevant",
    "exact_match": "the share of answers that equal the reference",
    "f1": "the words that an answer and the reference have in common",
    "contains": "the share of answers that hold the reference",
    "citation_precision": "the share of cited sources that are relevant",
    "judge": "the grade that the judging model gives",
}


def metric_label(name: str) -> str:
    """A metric as its field writes it: ``ndcg@10`` is ``nDCG@10``."""
    base, at, depth = name.partition("@")
    return f"{_LABELS.get(base, base.replace('_', ' '))}{at}{depth}"


def metric_meaning(name: str) -> str:
    """What a metric measures, in words; empty where that is not known."""
    return _MEANINGS.get(name.partition("@")[0], "")


def sentences(data: Mapping[str, Any]) -> dict[str, str]:
    """Part of the report -> what it shows.

    Args:
        data: a report, complete but for these.
    """
    return {
        "summary": _summary(data),
        "metric": _metric(data["metric"]),
        "leaderboard": _leaderboard(data),
        "comparisons": _comparisons(data),
        "pareto": _pareto(data),
        "effects": _effects(data["effects"], metric_label(data["metric"])),
        "queries": _queries(data),
        "failures": _failures(data["failures"]),
    }


def _metric(name: str) -> str:
    meaning = metric_meaning(name)
    return f"{metric_label(name)}: {meaning}. Higher is better." if meaning else ""


def _summary(data: Mapping[str, Any]) -> str:
    jobs, label = data["jobs"], metric_label(data["metric"])
    best = jobs[0]
    mean = figures.score(best["metrics"][data["metric"]]["mean"])
    if len(jobs) == 1:
        return f"{best['name']} reaches {label} {mean}."
    equals = [job for job in jobs[1:] if job["group"] == 1]
    if not equals:
        others = "the other one" if len(jobs) == 2 else f"each of the {len(jobs) - 1} others"
        return f"{best['name']} is best: {label} {mean}, significantly better than {others}."
    if all(same_scores(job["against_best"]) for job in equals) and len(equals) == len(jobs) - 1:
        return f"All {len(jobs)} configurations answer alike: {label} {mean}."
    who = "1 other does" if len(equals) == 1 else f"{len(equals)} others do"
    text = f"{best['name']} has the best {label}, {mean}, but {who} not differ from it significantly"
    fastest = min((job for job in [best, *equals] if median_ms(job) is not None), key=median_ms, default=None)
    if fastest is None or fastest is best or median_ms(fastest) >= median_ms(best):
        return f"{text}."
    return f"{text}; the fastest of these is {fastest['name']} ({figures.duration(median_ms(fastest))})."


def same_scores(comparison: Mapping[str, Any] | None) -> bool:
    """Whether two configurations score the same on every query."""
    return comparison is not None and not comparison["wins"] and not comparison["losses"]


def median_ms(job: Mapping[str, Any]) -> Any:
    """The median latency of a query, in milliseconds; None where it was not measured."""
    return (job["latency_ms"].get("total") or {}).get("p50")


def _leaderboard(data: Mapping[str, Any]) -> str:
    n = data["queries_compared"]
    text = (
        f"Each dot is the mean over {counted(n, 'query', 'queries')}, its bar the 95 % confidence interval: where the "
        "mean of another draw of such queries would lie."
    )
    if len(data["jobs"]) == 1:
        return text
    return (
        f"{text} Configurations of one group do not differ significantly from the first of that group. Bars of the "
        "same queries may overlap and differ all the same, as the tests below compare query by query."
    )


def _comparisons(data: Mapping[str, Any]) -> str:
    against = f" and with {data['baseline']}, the baseline" if data["baseline"] not in (None, data["best"]) else ""
    different = [job for job in data["jobs"][1:] if (job["against_best"] or {}).get("significant")]
    return (
        f"Every configuration is compared with the best{against}, on the same queries. A p-value below 0.05 says: "
        "a difference this large would be rare if both were equally good. It is corrected for the number of "
        f"comparisons. {len(different)} of {len(data['jobs']) - 1} differ significantly from the best."
    )


def _pareto(data: Mapping[str, Any]) -> str:
    beaten = "as good, as fast and as cheap" if "cost_per_1000" in data["pareto"]["axes"] else "as good and as fast"
    found = data["pareto"]["front"]
    if not found:
        return "No latency was measured."
    if len(found) == len(data["jobs"]):
        return "Up is better, left is faster. All configurations are on the front: each gain has its price."
    who = f"{found[0]} alone is" if len(found) == 1 else f"{len(found)} of {len(data['jobs'])} configurations are"
    return (
        f"Up is better, left is faster. {who} on the front (in colour): what is not on it is matched by something "
        f"that is {beaten}, and ahead in one of these."
    )


def _effects(effects: Sequence[Mapping[str, Any]], label: str) -> str:
    if not effects:
        return "No key has more than one value, so there is no effect to show."
    first = effects[0]
    head = f"{first['key']} matters most: it explains {figures.percent(first['share'])} of the variance of {label}"
    if len(effects) == 1:
        return f"Only {first['key']} was varied: all differences between configurations are its own."
    tail = (
        "Values are compared with all other keys held the same."
        if all(effect["paired"] for effect in effects)
        else "Where not every combination was tried, a mean also holds the effects of the other keys."
    )
    return f"{head} between configurations. {tail}" if first["share"] else f"No key changes {label}. {tail}"


def _queries(data: Mapping[str, Any]) -> str:
    differing = sum(query["spread"] > 0 for query in data["queries"])
    total = counted(len(data["queries"]), "query", "queries")
    if len(data["jobs"]) == 1:
        return f"{total}, in the order of their ids. Open one to see its answer and its sources."
    return (
        f"The configurations score differently on {differing:,} of {total}; these come first. "
        "Each square is a configuration, in the leaderboard's order: the darker, the higher its score; Δ is the gap "
        "from the lowest to the highest. Open a query to see answers and sources side by side: relevant sources are "
        "marked, and beside each stand the route that found it and the score that this gave it."
    )


def _failures(failures: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = [
        counted(len(failures["jobs"]), "job has no figures", "jobs have no figures"),
        counted(len(failures["queries"]), "query failed", "queries failed"),
        counted(len(failures["documents"]), "document could not be read", "documents could not be read"),
    ]
    said = [part for part in parts if not part.startswith("0 ")]
    if not said:
        return "Nothing failed."
    tail = " A query that failed counts as nothing found, and as a wrong answer." if failures["queries"] else ""
    return f"{'; '.join(said)}.{tail}"


def counted(number: int, one: str, several: str) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else several}"
