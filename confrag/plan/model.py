"""The compiled plan: frozen, plain data. Two configurations that mean the same give equal plans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AnswerPlan",
    "CorpusPlan",
    "GroupPlan",
    "ModelPlan",
    "Params",
    "Plan",
    "RetrieverPlan",
    "StepPlan",
    "StorePlan",
    "freeze",
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


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """Which documents are read."""

    paths: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    readers: Params
    on_error: str


@dataclass(frozen=True, slots=True)
class StorePlan:
    """Where nodes and vectors live. `params` are the arguments of the kind's builder."""

    kind: str
    params: Params


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A node group that is built: some retriever needs it, or a group below it."""

    name: str
    parent: str
    kind: str
    params: Params
    embed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model that is used."""

    name: str
    role: str
    kind: str
    params: Params


@dataclass(frozen=True, slots=True)
class RetrieverPlan:
    """One route. `mode` says what the similarity compares: `embedding` or `text`."""

    name: str
    group: str
    target: str | None
    topk: int
    similarity: str
    mode: str
    cut_off: float | None
    embed_keys: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A node of the recall."""

    name: str
    kind: str
    params: Params
    children: tuple[StepPlan, ...] = ()

    def walk(self) -> Iterator[StepPlan]:
        """This step and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """How nodes become an answer."""

    model: str
    system: str
    user: str
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

    def model(self, name: str) -> ModelPlan:
        """The model of this name."""
        return next(entry for entry in self.models if entry.name == name)

    def retriever(self, name: str) -> RetrieverPlan:
        """The retriever of this name."""
        return next(entry for entry in self.retrievers if entry.name == name)


def canonical(value: Any) -> str:
    """One JSON text for equal data."""
    return json.dumps(thaw(freeze(value)), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
