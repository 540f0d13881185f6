"""`recall`: how what the retrievers find is combined, as nested steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from confrag.schema.base import Family, Flag, Name, Number, Spec, Text, TopK
from confrag.schema.conditions import ConditionSpec
from confrag.schema.merges import ConcatSpec, Merge
from confrag.schema.models import Role

STEPS = Family("recall step")

Flows = Literal["question", "nodes"]
"""What travels between steps."""


class StepSpec(Spec):
    """Base of the nodes of `recall`, told apart by `kind`."""

    takes: ClassVar[Flows] = "nodes"
    """What the step works on; one that works on nodes is told the question besides."""
    gives: ClassVar[Flows] = "nodes"
    uses: ClassVar[Role | None] = None
    """Role of the model that its key `model` names; None: it has no such key."""
    kind: str

    def below(self) -> Mapping[str, StepSpec]:
        """The steps directly below, by name; none for a leaf."""
        return {}

    def flows(self) -> tuple[Flows, Flows]:
        """What it takes and gives, with the steps below it."""
        return self.takes, self.gives


Step = Annotated[StepSpec, STEPS]


class RetrieveSpec(StepSpec):
    """Search by one retriever."""

    takes = "question"
    kind: Literal["retrieve"]
    retriever: Name


class RewriteSpec(StepSpec):
    """Put the question into other words before it is searched by: a chat model and ``prompts.rewrite``."""

    takes = "question"
    gives = "question"
    uses = "chat"
    kind: Literal["rewrite"]
    model: Name = "llm"
    """Name of a chat model."""
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=4096)] = 128
    """Upper bound of the new question."""


class ParallelSpec(StepSpec):
    """Several branches at once, merged."""

    takes = "question"
    kind: Literal["parallel"]
    branches: Annotated[Mapping[Name, Step], Field(min_length=1)]
    merge: Merge = Field(default_factory=lambda: ConcatSpec(kind="concat"))
    topk: TopK | None = None
    """How many nodes are kept after merging; left out: all."""
    deadline_s: Annotated[Number, Field(gt=0, le=3600)] | None = None
    """Seconds that each branch has; left out: as long as it takes."""
    on_error: Literal["fail", "partial"] = "fail"
    """A branch that fails or is late: ends the question, or is left out of an answer that is marked ``partial``."""

    def below(self) -> Mapping[str, StepSpec]:
        """The branches."""
        return self.branches


class PipelineSpec(StepSpec):
    """One step after the other, in the order of the YAML."""

    takes = "question"
    kind: Literal["pipeline"]
    steps: Annotated[Mapping[Name, Step], Field(min_length=1)]

    def below(self) -> Mapping[str, StepSpec]:
        """The steps."""
        return self.steps

    def flows(self) -> tuple[Flows, Flows]:
        """From what the first step takes to what the last one gives."""
        steps = list(self.steps.values())
        return steps[0].flows()[0], steps[-1].flows()[1]


class IfsSpec(StepSpec):
    """One way or the other, by the question."""

    takes = "question"
    kind: Literal["ifs"]
    when: ConditionSpec
    """What must hold for `then`."""
    then: Step
    else_: Annotated[Step | None, Field(alias="else")] = None
    """Left out: what came in goes on unchanged; where nodes are to be retrieved, none are."""

    def below(self) -> Mapping[str, StepSpec]:
        """Both ways."""
        return {"then": self.then, **({"else": self.else_} if self.else_ else {})}

    def flows(self) -> tuple[Flows, Flows]:
        """Those of its ways, which agree."""
        return self.then.flows()


class RerankSpec(StepSpec):
    """Score the nodes again with a rerank model, best first."""

    uses = "rerank"
    kind: Literal["rerank"]
    model: Name = "rerank"
    topk: TopK = 6


class MMRSpec(StepSpec):
    """Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): near the question, far from each other."""

    uses = "embed"
    kind: Literal["mmr"]
    model: Name = "embed"
    """Name of an embedding model of dense vectors."""
    topk: TopK = 6
    relevance: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """1: the order of relevance alone; 0: the greatest variety."""


class KeywordSpec(StepSpec):
    """Keep the nodes with some words, or without others, as LazyLLM's KeywordFilter."""

    kind: Literal["keyword"]
    required: tuple[Annotated[Text, Field(min_length=1)], ...] = ()
    """A node must hold one of these words or phrases."""
    excluded: tuple[Annotated[Text, Field(min_length=1)], ...] = ()
    """A node must hold none of these."""
    ignore_case: Flag = True

    @model_validator(mode="after")
    def _something(self) -> KeywordSpec:
        if not self.required and not self.excluded:
            raise ValueError("names no word; give `required` or `excluded`")
        return self


class ScoreThresholdSpec(StepSpec):
    """Drop the nodes whose score is too low: the reranker's, if one has run, else the retriever's or merge rule's."""

    kind: Literal["score_threshold"]
    at_least: Number
