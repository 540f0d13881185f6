"""What is recorded while one question runs: spans of time, tokens, pieces of the answer, the first error.

LazyLLM's flows copy the context into the threads of a `parallel`, so a context variable reaches every step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confrag.errors import confrag_error
from confrag.schema.filters import Filters
from confrag.schema.history import History

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode

__all__ = ["Span", "Trace", "current", "limit", "span", "tracing"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of work. Times in seconds of the monotonic clock."""

    stage: str
    name: str
    start: float
    end: float


@dataclass(slots=True)
class Trace:
    """The record of one question.

    Attributes:
        limit: how many nodes the caller wants, where that is more than the configuration says.
        sink: called with each piece of the answer while it is written.
        given_up: set by whoever asks, from any thread, when the answer is no longer wanted. None: it will be.
        filters: which documents the caller wants; they go to every route.
        history: what was said before the question.
        last_attempt: whether what fails now is not tried once more.
        uncached: the cache is neither asked nor told.
        cached: it was answered from the cache.
        rewritten: the question as a model has put it last.
        found: what the recall gave for the answer.
        missing: (branch, reason) of the branches that an answer had to do without.
        spent: name of a chat model -> its tokens, ``prompt`` and ``completion``.
        error: the first error of a step, before LazyLLM wraps it.
    """

    limit: int | None = None
    sink: Callable[[str], None] | None = None
    given_up: threading.Event | None = None
    filters: Filters = ()
    history: History = ()
    last_attempt: bool = True
    uncached: bool = False
    cached: bool = False
    rewritten: str | None = None
    found: Sequence[DocNode] = ()
    missing: list[tuple[str, str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    spent: dict[str, dict[str, int]] = field(default_factory=dict)
    error: Exception | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def filtered_by(self) -> frozenset[str]:
        """Names of the metadata that the question comes with a filter on."""
        return frozenset(condition.field for condition in self.filters)

    def go_on(self) -> None:
        """Raises InterruptedError when the answer is no longer wanted."""
        if self.given_up is not None and self.given_up.is_set():
            raise InterruptedError("the question was given up")

    def add(self, entry: Span) -> None:
        """Record a span; safe from any thread."""
        with self._lock:
            self.spans.append(entry)

    @property
    def tokens(self) -> dict[str, int]:
        """``prompt`` and ``completion`` of all models."""
        return {kind: sum(counts[kind] for counts in self.spent.values()) for kind in ("prompt", "completion")}

    def spend(self, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Count the tokens of a call; servers that do not count them say -1."""
        with self._lock:
            counts = self.spent.setdefault(model, {"prompt": 0, "completion": 0})
            counts["prompt"] += max(0, prompt_tokens)
            counts["completion"] += max(0, completion_tokens)

    def fail(self, error: Exception) -> None:
        """Remember the first error."""
        with self._lock:
            self.error = self.error or error

    def forgive(self, error: Exception) -> None:
        """Forget an error that the question survives."""
        with self._lock:
            self.error = None if self.error is error else self.error

    def milliseconds(self, stage: str) -> float:
        """Time in which at least one span of the stage was running."""
        total, reached = 0.0, float("-inf")
        for entry in sorted((s for s in self.spans if s.stage == stage), key=lambda s: s.start):
            total += max(0.0, entry.end - max(entry.start, reached))
            reached = max(reached, entry.end)
        return round(total * 1000, 3)


_current: ContextVar[Trace | None] = ContextVar("confrag_trace", default=None)


def current() -> Trace | None:
    """The record of the question that is running, or None when a graph is called directly."""
    return _current.get()


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Record what runs inside."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


@contextmanager
def span(stage: str, name: str) -> Iterator[None]:
    """Time a step, and remember the error that ends it. Raises InterruptedError if the question was given up."""
    trace = _current.get()
    if trace:
        trace.go_on()
    start = time.perf_counter()
    try:
        yield
    except Exception as error:
        if trace:
            trace.fail(confrag_error(error) or error)
        raise
    finally:
        if trace:
            trace.add(Span(stage, name, start, time.perf_counter()))


def limit(declared: int | None) -> int | None:
    """The declared number of nodes, or the caller's where that is more."""
    trace = _current.get()
    if declared is None or trace is None or trace.limit is None:
        return declared
    return max(declared, trace.limit)
