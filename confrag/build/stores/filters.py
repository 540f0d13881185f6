"""Filters on the metadata of documents, with one meaning on every store.

A filter maps names of global metadata to an allowed value or to a collection of allowed values. A document matches
when, for every name, its value is among the allowed ones; a value that is a list matches with any of its items; a
document without the name does not match.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Scalar = str | int | float | bool


def allowed(value: Any) -> list[Scalar]:
    """The allowed values that a filter's value stands for, in a stable order."""
    if isinstance(value, Collection) and not isinstance(value, (str, bytes)):
        return sorted(value, key=str)
    return [value]


def matches(metadata: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether a document's global metadata match."""
    for name, value in filters.items():
        held = metadata.get(name)
        items = held if isinstance(held, (list, tuple, set)) else [held]
        wanted = allowed(value)
        if not any(item in wanted for item in items if item is not None):
            return False
    return True
