"""The compiled plan: frozen, plain data. Two configurations that mean the same give equal plans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confrag.schema.filters import Filters

__all__ = [
    "AnswerPlan",
    "CachePlan",
    "CorpusPlan",
    "GroupPlan",
    "IndexPlan",
    "ModelPlan",
    "Params",
    "Plan",
    "RetrieverPlan",
    "StepPlan",
    "StorePlan",
    "freeze",
    "written_groups",
]


class Params(Mapping[str, Any]):
    """An immutable mapping that compares and hashes by its contents."""

    __slots__ = ("_items",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._items = {str(key): freeze(value) for key, value in (values or {}).items()}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"Params({self._items!r})"

    def thaw(self) -> dict[str, Any]:
        """The same as dictionaries and lists, for the libraries below."""
        return {key: thaw(value) for key, value in self._items.items()}


def freeze(value: Any) -> Any:
    """Plain data with its mappings and sequences made immutable."""
    if isinstance(value, Mapping):
        return Params(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """The inverse of `freeze`."""
    if isinstance(value, Params):
        return value.thaw()
    return [thaw(item) for item in value] if isinstance(value, tuple) else value


_NOTHING = Params()


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """Which documents are read, and what is known of them.

    Attributes:
        metadata: pairs of a glob and the values that it gives, in their order.
        doc_fields: name -> type of the metadata that may be filtered by.
    """

    paths: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    readers: Params
    on_error: str
    metadata: tuple[tuple[str, Params], ...] = ()
    doc_fields: Params = _NOTHING


@dataclass(frozen=True, slots=True)
class StorePlan:
    """Where nodes and vectors live. `params` are the arguments of the kind's builder."""

    kind: str
    params: Params


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A node group that is built: some retriever needs it, or a group below it. Its `model` writes it, if one does."""

    name: str
    parent: str
    kind: str
    params: Params
    embed: tuple[str, ...]
    model: str | None = None


def written_groups(groups: Sequence[GroupPlan]) -> tuple[GroupPlan, ...]:
    """The groups, parents first, that a model writes, and those that are cut from such a group."""
    found: dict[str, GroupPlan] = {}
    for group in groups:
        if group.model or group.parent in found:
            found[group.name] = group
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model that is used."""

    name: str
    role: str
    kind: str
    params: Params


@dataclass(frozen=True, slots=True)
class RetrieverPlan:
    """One route. `filters` hold for every question; `mode` says what is compared: `embedding` or `text`.

    An index of one's own is named by `index`; one of texts goes by no `similarity`.
    """

    name: str
    group: str
    target: str | None
    topk: int
    similarity: str | None
    mode: str
    cut_off: float | None
    embed_keys: tuple[str, ...]
    window: int
    filters: Filters = ()
    index: str | None = None


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """An index of one's own that a retriever asks. `params` are the arguments of the kind's builder."""

    name: str
    kind: str
    group: str
    embed_key: str | None
    params: Params


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A node of the recall. What it `takes` and `gives` is ``question`` or ``nodes``."""

    name: str
    kind: str
    params: Params
    children: tuple[StepPlan, ...] = ()
    takes: str = "question"
    gives: str = "nodes"

    def walk(self) -> Iterator[StepPlan]:
        """This step and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Which answers are kept, and where. `backend_params` are further arguments of the backend's builder.

    Attributes:
        scope: ``retrieval`` or ``answer``.
        model: embedding model of a semantic cache; None where only equal questions are found.
        threshold: its cosine.
        fingerprint: of everything in the configuration that what is kept depends on, 12 hexadecimal digits.
    """

    scope: str
    backend: str
    backend_params: Params
    ttl_s: float | None
    max_entries: int
    min_hits: int
    normalize: Params
    model: str | None
    threshold: float
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """How nodes become an answer."""

    model: str
    system: str
    user: str
    citations: str
    no_source: str
    quoted: str
    temperature: float
    max_tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, resolved: what is unused is gone, what is implied is there.

    Attributes:
        name: the preset it came from, or ``custom``.
        collection: fingerprint of what determines the stored nodes and vectors, 12 hexadecimal digits.
        groups: parents before children.
    """

    name: str
    collection: str
    state_dir: str
    embedding_cache_mb: int
    lock_timeout_s: float
    corpus: CorpusPlan
    store: StorePlan
    groups: tuple[GroupPlan, ...]
    models: tuple[ModelPlan, ...]
    retrievers: tuple[RetrieverPlan, ...]
    recall: StepPlan
    answer: AnswerPlan
    indices: tuple[IndexPlan, ...] = ()
    cache: CachePlan | None = None

    def model(self, name: str) -> ModelPlan:
        """The model of this name."""
        return next(entry for entry in self.models if entry.name == name)

    @property
    def only_for_ingest(self) -> frozenset[str]:
        """Names of the chat models that write nodes and are not asked for anything else."""
        steps = {str(step.params["model"]) for step in self.recall.walk() if "model" in step.params}
        return frozenset(group.model for group in self.groups if group.model) - steps - {self.answer.model}

    def retriever(self, name: str) -> RetrieverPlan:
        """The retriever of this name."""
        return next(entry for entry in self.retrievers if entry.name == name)


def canonical(value: Any) -> str:
    """One JSON text for equal data."""
    return json.dumps(thaw(freeze(value)), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
