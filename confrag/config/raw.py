"""A composed configuration before it is validated: what the checks of references look things up in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confrag.errors import Problem, nearest

__all__ = ["Raw", "by_role", "table", "unknown"]

Raw = Mapping[str, Any]


def table(raw: Raw, key: str) -> dict[str, Raw]:
    """A named mapping, less the entries that are no mappings (the schema has complained of these)."""
    value = raw.get(key)
    if not isinstance(value, Mapping):
        return {}
    return {str(name): entry for name, entry in value.items() if isinstance(entry, Mapping)}


def by_role(raw: Raw, role: str) -> list[str]:
    """Names of the models of a role."""
    return [name for name, model in table(raw, "models").items() if model.get("role") == role]


def unknown(path: str, value: object, what: str, known: Iterable[str]) -> Problem:
    """A name that nobody has."""
    names = list(known)
    return Problem(
        path, f"there is no {what} of this name; known: {', '.join(names) or 'none'}", value, nearest(value, names)
    )
