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
