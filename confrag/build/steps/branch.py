"""One branch of a `parallel`: it may be late, or fail, without taking the others along."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from lazyllm.tools.rag import DocNode

from confrag.build.private.sessions import in_this_session
from confrag.build.trace import Trace, current
from confrag.errors import ServiceError, StoreError, confrag_error

__all__ = ["Absent", "Branch"]


@dataclass(frozen=True)
class Absent:
    """In place of the nodes of a branch that gave none."""

    name: str
    error: Exception

    @property
    def reason(self) -> str:
        """Why, in a line."""
        return " ".join(str(self.error).split())[:300]


class Branch:
    """Runs a branch for at most `deadline_s` seconds.

    A branch that is late is not waited for: its thread ends when the call that hangs returns, and what it brings then
    is dropped.

    Args:
        name: of the branch.
        flow: question -> nodes.
        deadline_s: None: as long as it takes.
        partial: a failure gives an `Absent`, not an exception.
    """

    def __init__(self, name: str, flow: Any, deadline_s: float | None, *, partial: bool) -> None:
        self._name = name
        self._flow = flow
        self._deadline = deadline_s
        self._partial = partial

    def __call__(self, query: str) -> list[DocNode] | Absent:
        """The nodes of the branch.

        Raises:
            ServiceError: it is late, and others cannot stand in for it.
        """
        try:
            return self._in_time(query) if self._deadline else self._flow(query)
        except Exception as error:
            trace, cause = current() or Trace(), confrag_error(error) or error
            # A store that changes while it is read is asked again first.
            again = not trace.last_attempt and isinstance(cause, StoreError)
            if not self._partial or again:
                trace.fail(cause)
                raise
            trace.forgive(cause)
            return Absent(self._name, cause)

    def _in_time(self, query: str) -> list[DocNode]:
        outcome = _Outcome()
        call = in_this_session(lambda: self._flow(query))
        thread = threading.Thread(
            target=copy_context().run, args=(outcome.of, call), name=f"confrag-branch-{self._name}", daemon=True
        )
        thread.start()
        thread.join(self._deadline)
        nodes: list[DocNode] = outcome.take(f"branch '{self._name}' gave no result within {self._deadline:g} s")
        return nodes


class _Outcome:
    """What a thread brought, and whether it came in time."""

    def __init__(self) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        self._done = False

    def of(self, call: Callable[[], Any]) -> None:
        try:
            self._value = call()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            self._error = error
        self._done = True

    def take(self, late: str) -> Any:
        if not self._done:
            raise ServiceError(late)
        if self._error is not None:
            raise self._error
        return self._value
