"""`retrievers` and `recall`: what is looked up, and how the results are combined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from confrag.schema.base import Family, Name, Number, Spec, TopK

SIMILARITIES: Mapping[str, Literal["embedding", "text"]] = {
    "cosine": "embedding",
    "bm25": "text",
    "bm25_chinese": "text",
}
"""Similarity -> what it compares."""

INDICES = ("default", "smart_embedding_index")
"""Values of `retrievers.*.index`."""

STEPS = Family("recall step")
MERGES = Family("merge rule")


class RetrieverSpec(Spec):
    """One route into the corpus."""

    group: Name
    """Node group that is searched."""
    target: Name | None = None
    """Node group whose nodes are returned (parents or children of the hits); left out: `group` itself."""
    topk: TopK = 6
    similarity: Literal["cosine", "bm25", "bm25_chinese"] = "cosine"
    """By vectors, or by words, English or Chinese."""
    similarity_cut_off: Number | None = None
    """Hits below this score are dropped."""
    index: Literal["default", "smart_embedding_index"] = "default"
    """``smart_embedding_index``: the one that ``store_conf.indices`` declares."""
    embed_keys: tuple[Name, ...] | None = None
    """Names of embedding models to search by; left out: the one embedding model that there is."""
    weight: Annotated[Number, Field(gt=0, le=1000)] = 1.0
    """Weight of the route in a merge rule that weighs."""


class StepSpec(Spec):
    """Base of the nodes of `recall`, told apart by `kind`."""

    retrieves: ClassVar[bool] = False
    """Whether the step takes a question and gives nodes; the others take nodes."""

    kind: str


class RetrieveSpec(StepSpec):
    """Search by one retriever."""

    retrieves = True
    kind: Literal["retrieve"]
    retriever: Name


class MergeSpec(Spec):
    """Base of the merge rules, told apart by `kind`; the bare name of a rule stands for it with its defaults."""

    kind: str


class ConcatSpec(MergeSpec):
    """One result list behind the other, each node once: LazyLLM's sum."""

    kind: Literal["concat"]


class RRFSpec(MergeSpec):
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): sum of weight / (k + rank)."""

    kind: Literal["rrf"]
    k: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 60


def _named(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


Merge = Annotated[MergeSpec, MERGES, BeforeValidator(_named)]
Step = Annotated[StepSpec, STEPS]


class ParallelSpec(StepSpec):
    """Several branches at once, merged."""

    retrieves = True
    kind: Literal["parallel"]
    branches: Annotated[Mapping[Name, Step], Field(min_length=1)]
    merge: Merge = Field(default_factory=lambda: ConcatSpec(kind="concat"))
    topk: TopK | None = None
    """How many nodes are kept after merging; left out: all."""


class PipelineSpec(StepSpec):
    """One step after the other, in the order of the YAML."""

    retrieves = True
    kind: Literal["pipeline"]
    steps: Annotated[Mapping[Name, Step], Field(min_length=1)]


class RerankSpec(StepSpec):
    """Score the nodes again with a rerank model, best first."""

    kind: Literal["rerank"]
    model: Name = "rerank"
    topk: TopK = 6


def branches(step: Any) -> Mapping[str, StepSpec]:
    """The steps directly below a step, by name; empty for a leaf."""
    if isinstance(step, ParallelSpec):
        return step.branches
    return step.steps if isinstance(step, PipelineSpec) else {}
