"""Failures of a store become one kind of error, with the place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confrag.errors import ConfragError, StoreError


@contextmanager
def failing(action: str, place: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `StoreError` that says what was done, where and why it failed."""
    try:
        yield
    except ConfragError:
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise StoreError(f"{place}: {action} failed: {reason}") from error


def confrag_error(error: BaseException | None) -> ConfragError | None:
    """The confrag error behind an exception of LazyLLM, which wraps what a store raises in its own, or None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ConfragError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
