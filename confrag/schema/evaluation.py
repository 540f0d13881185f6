"""`eval` and `objective`: what ``confrag eval`` measures, and by what it judges a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from confrag.errors import nearest
from confrag.schema.base import Name, Spec, Text

__all__ = ["ANSWER_METRICS", "COSTS", "RETRIEVAL_METRICS", "EvalSpec", "Objective", "is_retrieval_metric"]

RETRIEVAL_METRICS: Mapping[str, str] = {
    "ndcg": "nDCG",
    "recall": "R",
    "mrr": "RR",
    "map": "AP",
    "p": "P",
    "success": "Success",
}
"""Name in a configuration, before ``@k`` -> name in ir-measures."""
ANSWER_METRICS = ("exact_match", "f1", "contains", "citation_precision", "judge")
"""What is measured of answers, beside retrieval; each between 0 and 1."""
COSTS = ("latency_ms_mean", "latency_ms_p50", "latency_ms_p95", "latency_ms_p99", "cost")
"""What is better when it is less."""

_RETRIEVAL = re.compile(rf"({'|'.join(RETRIEVAL_METRICS)})@([1-9]\d{{0,3}})")
_SHAPES = ", ".join(f"{name}@K" for name in RETRIEVAL_METRICS)


def is_retrieval_metric(name: str) -> bool:
    """Whether a name is one of `RETRIEVAL_METRICS` with its ``@k``."""
    return _RETRIEVAL.fullmatch(name) is not None


def _metric(name: str) -> str:
    if not is_retrieval_metric(name):
        bare, _, cutoff = name.lower().partition("@")
        close = nearest(bare, RETRIEVAL_METRICS)
        raise ValueError(
            f"{name!r} is no metric of retrieval; known: {_SHAPES} (K: how many documents count)"
            + (f". Did you mean '{close}@{cutoff or 10}'?" if close else "")
        )
    return name


def _objective(name: str) -> str:
    known = (*ANSWER_METRICS, *COSTS)
    if not is_retrieval_metric(name) and name not in known:
        close = nearest(name, [*known, "ndcg@10", "recall@10", "mrr@10", "map@10", "p@5"])
        raise ValueError(
            f"{name!r} is nothing that is measured; known: {_SHAPES}, {', '.join(known)}"
            + (f". Did you mean '{close}'?" if close else "")
        )
    return name


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Metrics = Annotated[tuple[Annotated[Text, AfterValidator(_metric)], ...], BeforeValidator(_listed), Field(min_length=1)]
Objective = Annotated[
    tuple[Annotated[Text, AfterValidator(_objective)], ...], BeforeValidator(_listed), Field(min_length=1)
]


def _choice(value: object) -> object:
    if value != "auto" and not isinstance(value, bool):
        raise ValueError(f"must be auto, true or false, and is {value!r:.60}")
    return value


class EvalSpec(Spec):
    """How a configuration is evaluated."""

    metrics: Metrics = ("ndcg@10", "recall@10", "mrr@10", "map@10", "p@5")
    """Of retrieval, at the level of documents: the rank of a document is that of its first node. ``success@k``: whether
    a relevant one is among the first k."""
    depth: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    """Ask every route for at least so many nodes; left out: as many as the configuration says, which is what a user
    gets."""
    answers: Annotated[Literal["auto", True, False], BeforeValidator(_choice)] = "auto"
    """Let the model answer, and compare; ``auto``: where the queries come with answers, and the model writes."""
    concurrency: Annotated[int, Field(strict=True, ge=1, le=256)] = 1
    """Queries at the same time; more than one makes latencies longer."""
    judge: Name | None = None
    """A chat model that grades the answers (`prompts.judge`); left out: none does."""
    seed: Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)] = 0
    """Of whatever is drawn by chance: which queries."""
