"""`merge`: how the results of the branches of a `parallel` become one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from confrag.schema.base import Family, Name, Number, Spec

MERGES = Family("merge rule")

Weight = Annotated[Number, Field(gt=0, le=1000)]
Priority = Literal["high", "normal", "low", "ignore"]


class MergeSpec(Spec):
    """Base of the merge rules, told apart by `kind`; the bare name of a rule stands for it with its defaults."""

    kind: str
    weights: Mapping[Name, Weight] = Field(default_factory=dict)
    """Branch -> weight; a branch that is left out has the weight of its retriever, or 1."""
    dedupe: Literal["node", "parent"] = "node"
    """Each node once; or only the best node of each parent (sentences of one chunk, chunks of one page)."""


class ConcatSpec(MergeSpec):
    """One list behind the other; with `topk`, each branch has slots by its weight, as LazyLLM's WeightedRetriever."""

    kind: Literal["concat"]


class RRFSpec(MergeSpec):
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): sum of weight / (k + rank)."""

    kind: Literal["rrf"]
    k: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 60


class WeightedSpec(MergeSpec):
    """Sum of weight x score, the scores of each branch brought to a common scale before."""

    kind: Literal["weighted"]
    normalize: Literal["min_max", "none"] = "min_max"
    """``min_max``: a branch's best score becomes 1 and its worst 0; ``none``: the scores as they are."""


class PrioritySpec(MergeSpec):
    """Branches of high priority first, lower ones while `topk` is not reached, as LazyLLM's PriorityRetriever."""

    kind: Literal["priority"]
    priorities: Mapping[Name, Priority] = Field(default_factory=dict)
    """Branch -> priority; one that is left out has that of its retriever, or ``normal``; ``ignore``: it is not run."""


def _named(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


Merge = Annotated[MergeSpec, MERGES, BeforeValidator(_named)]
