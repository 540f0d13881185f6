"""The errors of confrag. Each carries the exit code that the command line ends with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


class ConfragError(Exception):
    """Base of every error that confrag raises on purpose; shown to the user as one message, without a traceback."""

    exit_code = 1


class UserError(ConfragError):
    """The user's mistake (bad configuration, missing file, unknown model): exit code 2."""

    exit_code = 2


class NotFoundError(UserError):
    """What was asked for by its name or id does not exist."""


class ServiceError(ConfragError):
    """A service that the configuration names does not answer: exit code 4."""

    exit_code = 4


class StoreError(ConfragError):
    """A store failed while it was read or written. Never turned into an empty result."""


class MissingDependencyError(UserError):
    """An optional package is not installed; the message holds the command that installs it."""

    def __init__(self, package: str, command: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package '{package}', which is not installed. Install it with: {command}")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: where, as in the YAML: ``retrievers.chunk.topk``.
        message: what is wrong and what is allowed, in one line.
        value: the offending value; ``MISSING`` where there is none to show.
        nearest: the closest allowed spelling, if there is one.
    """

    path: str
    message: str
    value: object = ...
    nearest: str | None = None

    def __str__(self) -> str:
        shown = "" if self.value is ... else f" = {_shorten(self.value)}"
        hint = f". Did you mean '{self.nearest}'?" if self.nearest else ""
        return f"{self.path or '(top level)'}{shown}: {self.message}{hint}"


class ConfigError(UserError):
    """Everything that is wrong with a configuration, in one error.

    Attributes:
        problems: every problem found, in the order of the configuration.
    """

    def __init__(self, problems: Sequence[Problem], name: str | None = None) -> None:
        self.problems = tuple(problems)
        self.name = name
        count = "1 error" if len(self.problems) == 1 else f"{len(self.problems)} errors"
        where = f"configuration '{name}'" if name else "configuration"
        super().__init__("\n".join([f"{where}: {count}", *(f"  {p}" for p in self.problems)]))


def confrag_error(error: BaseException | None) -> ConfragError | None:
    """The error of confrag behind an exception of a library that wraps what was raised inside it, or None."""
    return next((link for link in chain(error) if isinstance(link, ConfragError)), None)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those behind it, the causes before what was only being handled."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def nearest(word: object, candidates: Iterable[str]) -> str | None:
    """The candidate closest in spelling to `word`, or None when none is close."""
    import difflib  # only a mistake needs it

    names = list(candidates)
    lowered = {name.lower(): name for name in names}
    found = difflib.get_close_matches(str(word).lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def _shorten(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
