"""Checks of the documents' metadata: what is declared, what the configuration gives, and what is filtered by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from confrag.config.raw import Raw
from confrag.errors import Problem
from confrag.schema.doc_fields import RESERVED, FieldType, as_type
from confrag.schema.filters import problems_of

__all__ = ["metadata"]


def metadata(raw: Raw) -> Iterator[Problem]:
    """Declared names are free; values have the types of their fields; filters ask for what is declared."""
    fields = _types(raw)
    for name in sorted(RESERVED & fields.keys()):
        yield Problem(f"doc_fields.{name}", "every document has a field of this name already; choose another", name)
    for entry, given in _below(_below(raw, "corpus"), "metadata").items():
        for name, value in _below(given, "values").items():
            if name in fields:
                yield from _value(f"corpus.metadata.{entry}.values.{name}", value, fields[name])
    yield from problems_of(_below(raw, "filters"), fields)
    for name, retriever in _below(raw, "retrievers").items():
        yield from problems_of(_below(retriever, "filters"), fields, f"retrievers.{name}.filters")


def _value(path: str, value: object, kind: str) -> Iterator[Problem]:
    try:
        as_type(value, kind)
    except ValueError as error:
        yield Problem(path, f"{error}; doc_fields declares it as {kind}", value)


def _types(raw: Raw) -> dict[str, str]:
    """Declared fields with their types; what the schema refuses is left out."""
    declared = {
        name: field.get("type") if isinstance(field, Mapping) else field
        for name, field in _below(raw, "doc_fields").items()
    }
    return {name: str(kind) for name, kind in declared.items() if kind in get_args(FieldType)}


def _below(value: object, key: str) -> dict[str, Any]:
    """A mapping below a key; empty where there is none (the schema complains of anything else)."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return {str(name): entry for name, entry in found.items()} if isinstance(found, Mapping) else {}
