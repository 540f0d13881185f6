"""Failures of a store become one kind of error, with the place; a server that is away, or refuses us, another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confrag.errors import ConfragError, ServiceError, StoreError, UserError

__all__ = ["Explain", "Server", "causes", "failing", "nothing_special"]

Explain = Callable[[str, Exception], ConfragError | None]
"""(what was done, what went wrong) -> an error that says more than that the store failed, or None."""


def nothing_special(action: str, error: Exception) -> None:
    """Every failure is one of the store."""


@contextmanager
def failing(action: str, place: str, explain: Explain = nothing_special) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `StoreError` that says what was done, where and why it failed.

    Args:
        action: what is done inside.
        place: the store.
        explain: knows failures that are none of the store's own.
    """
    try:
        yield
    except ConfragError:
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        failure = explain(action, error) or StoreError(f"{place}: {action} failed: {reason}")
        raise failure from error


def causes(error: BaseException) -> list[BaseException]:
    """An exception with all that it was raised from; pymilvus raises some from themselves."""
    found: list[BaseException] = []
    pending = [error]
    while pending:
        current = pending.pop(0)
        if not any(current is known for known in found):
            found.append(current)
            pending += [cause for cause in (current.__cause__, current.__context__) if cause is not None]
    return found


@dataclass(frozen=True)
class Server:
    """A server as messages speak of it.

    Attributes:
        kind: what it is, as in ``Milvus server``.
        uri: its address.
        start: a command that starts one.
        timeout_s: how long a call may take.
        where: what of the configuration names it.
    """

    kind: str
    uri: str
    start: str
    timeout_s: float
    where: str = "store_conf"

    def __str__(self) -> str:
        return f"{self.kind} {self.uri}"

    def away(self, action: str, reason: str | None) -> ServiceError:
        """The error of a server that does not answer; without a reason, within its time."""
        why = reason or f"nothing within {self.timeout_s:g} s"
        return ServiceError(
            f"the {self.kind} at {self.uri} does not answer ({action}: {why}). Start it, for example with "
            f"'{self.start}', or name another one with `uri` in {self.where}"
        )

    def denied(self, action: str, asked_as: str) -> UserError:
        """The error of a server that does not let us in."""
        return UserError(f"the {self.kind} at {self.uri} refuses access ({action}, {asked_as})")

    def secret(self, variable: str | None, what: str) -> str:
        """The value of an environment variable; empty when none is named.

        Raises:
            UserError: it is not set.
        """
        value = os.environ.get(variable, "") if variable else ""
        if variable and not value:
            raise UserError(
                f"the environment variable {variable} is not set; it must hold the {what} for the {self.kind} "
                f"at {self.uri}"
            )
        return value
