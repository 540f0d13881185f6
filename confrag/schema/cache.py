"""`cache`: answers, or what was retrieved, kept for the next time that the same is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from confrag.schema.base import EnvName, Family, Flag, Name, Number, Spec

CACHES = Family("cache")
BACKENDS = Family("cache backend")


class BackendSpec(Spec):
    """Base of the places where a cache keeps its entries; the bare name of one stands for it with its defaults."""

    kind: str


class MemorySpec(BackendSpec):
    """In this process, for as long as it runs."""

    kind: Literal["memory"]


class DiskSpec(BackendSpec):
    """An SQLite file that all processes share."""

    kind: Literal["disk"]
    path: Name | None = None
    """The file; left out: ``answers.sqlite3`` below `state_dir`."""


class RedisSpec(BackendSpec):
    """A Redis or Valkey server, shared by machines."""

    kind: Literal["redis"]
    url_env: EnvName = "CONFRAG_REDIS_URL"
    """Name of the environment variable that holds the URL, with user and password: ``redis://HOST:6379/0``."""
    prefix: Name = "confrag"
    """What the names of all keys begin with."""
    timeout_s: Annotated[Number, Field(gt=0, le=60)] = 0.5
    """Seconds that a call may take; after that the question is answered without the cache."""


class NormalizeSpec(Spec):
    """Which questions count as the same."""

    space: Flag = True
    """White space makes no difference."""
    width: Flag = True
    """Full-width letters and digits are those of usual width (Unicode NFKC)."""
    case: Flag = False
    """Capital and small letters make no difference."""


def _named(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class CacheSpec(Spec):
    """Base of the caches, told apart by `kind`."""

    kind: str


class NoCacheSpec(CacheSpec):
    """Every question is answered anew."""

    kind: Literal["none"]


class ExactSpec(CacheSpec):
    """The same question, asked again."""

    kind: Literal["exact"]
    scope: Literal["retrieval", "answer"] = "answer"
    """``retrieval``: the nodes are kept, and the model answers each time; ``answer``: the whole answer is kept."""
    backend: Annotated[BackendSpec, BACKENDS, BeforeValidator(_named)] = Field(
        default_factory=lambda: MemorySpec(kind="memory")
    )
    ttl_s: Annotated[Number, Field(gt=0, le=10 * 365 * 86_400)] | None = None
    """Seconds after which an entry is too old; left out: never, since a change of the corpus makes it unreachable."""
    max_entries: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] = 10_000
    """Beyond that, the entries that were not used for longest go."""
    min_hits: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1
    """A question is kept when it is asked for this number of times."""
    normalize: NormalizeSpec = Field(default_factory=lambda: NormalizeSpec())


class SemanticSpec(ExactSpec):
    """A question that means the same: near in its vector to one that was asked before."""

    kind: Literal["semantic"]  # type: ignore[assignment]
    model: Name = "embed"
    """Name of an embedding model of dense vectors."""
    similarity_threshold: Annotated[Number, Field(gt=0, le=1)] = 0.95
    """Cosine of the two questions' vectors, at least. What is safe depends on the model: measure it."""
