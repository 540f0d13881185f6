"""Filters in the languages of the stores. Values never become part of a text of SQL; in Milvus' they are quoted.

The stores disagree on what an operator says of a document that lacks the field, so that each negation also asks
whether it is there: beside the value of ``year``, stores of vectors hold ``year?``, which is true.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lazyllm.tools.rag.global_metadata import RAG_DOC_ID

from confrag.build.nodes import document_id
from confrag.schema.doc_fields import Scalar
from confrag.schema.filters import FILE, Condition, Filters

__all__ = ["DOC_FIELDS", "held_fields", "listed", "milvus_filter", "satisfiable", "sql_filter", "where_filter"]

DOC_FIELDS = "doc_fields"
"""The JSON field of a Milvus collection that holds the declared metadata."""


def listed(value: Any) -> list[Scalar]:
    """One value, or several in a stable order, as a list."""
    if isinstance(value, Collection) and not isinstance(value, (str, bytes)):
        return sorted(value, key=str)
    return [value]


def held_fields(metadata: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """What a store of vectors holds of a document's metadata: the declared fields, and which of them are there."""
    held = {name: _plain(metadata[name]) for name in fields if name in metadata}
    # Chroma knows no empty list.
    return {**{name: value for name, value in held.items() if value != []}, **{f"{name}?": True for name in held}}


def satisfiable(filters: Filters) -> bool:
    """False when no document can match: a value is to be one of none."""
    return not any(condition.op in ("in", "contains any") and condition.value == () for condition in filters)


def sql_filter(filters: Filters, column: str) -> tuple[str, list[str]]:
    """The filters as a condition of SQLite's, with its parameters.

    Args:
        filters: at least one condition.
        column: JSON with the metadata below ``global_meta``.
    """
    clauses, values = [], []
    for field, op, value in filters:
        held, items = f"json_extract({column}, ?)", f"SELECT value FROM json_each({column}, ?)"
        # The parameters as JSON: numbers are then read by the same hand on both sides.
        several = "(SELECT value FROM json_each(?))"
        clause = {
            "in": f"{held} IN {several}",
            "not in": f"{held} IS NOT NULL AND {held} NOT IN {several}",
            "contains": f"EXISTS ({items} WHERE value IN {several})",
            "contains any": f"EXISTS ({items} WHERE value IN {several})",
            "contains none": f"{held} IS NOT NULL AND NOT EXISTS ({items} WHERE value IN {several})",
        }.get(op, f"{held} {op} json_extract(?, '$[0]')")
        path = f"$.global_meta.{field}"
        clauses.append(f"({clause})")
        values += [path] * clause.count(f"{column}, ?")
        values.append(json.dumps(value if isinstance(value, tuple) else [value], ensure_ascii=False))
    return " AND ".join(clauses), values


def _by_id(filters: Filters) -> list[Condition]:
    """Stores of vectors know a document by its id, which follows from its name."""
    found = []
    for field, op, value in filters:
        if field != FILE:
            found.append(Condition(field, op, value))
        elif value != ():  # `not in` of none holds for every document
            ids = tuple(document_id(str(name)) for name in listed(value))
            found.append(Condition(RAG_DOC_ID, op, ids if isinstance(value, tuple) else ids[0]))
    return found


def where_filter(filters: Filters) -> dict[str, Any] | None:
    """The filters as Chroma's ``where``; None for no filter."""
    clauses = [clause for condition in _by_id(filters) for clause in _where(condition)]
    return clauses[0] if len(clauses) == 1 else {"$and": clauses} if clauses else None


_WHERE = {"==": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte", "in": "$in", "not in": "$nin"}


def _where(condition: Condition) -> list[dict[str, Any]]:
    field, op, value = condition
    if op == "contains":
        return [{field: {"$contains": value}}]
    if op == "contains any":
        each = [{field: {"$contains": item}} for item in listed(value)]
        return [{"$or": each} if len(each) > 1 else each[0]]
    there = [] if field == RAG_DOC_ID else [{f"{field}?": True}]
    if op == "contains none":
        return [*there, *({field: {"$not_contains": item}} for item in listed(value))]
    if op == "not in" and value == ():
        return there
    return [*(there if op in ("!=", "not in") else []), {field: {_WHERE[op]: _plain(value)}}]


def milvus_filter(filters: Filters) -> str:
    """The filters as an expression of Milvus'; empty for no filter."""
    return " and ".join(f"({_expression(condition)})" for condition in _by_id(filters))


def _expression(condition: Condition) -> str:
    field, op, value = condition
    if field == RAG_DOC_ID:
        return f"{field} {op} {_quoted(value)}"
    held, there = f"{DOC_FIELDS}[{_quoted(field)}]", f"{DOC_FIELDS}[{_quoted(f'{field}?')}] == true"
    if op in ("contains", "contains any", "contains none"):
        if value == ():
            return there  # of `contains none`; see `satisfiable`
        found = f"json_contains_any({held}, {_quoted(tuple(listed(value)))})"
        return f"{there} and not {found}" if op == "contains none" else found
    if op == "!=":
        return f"{there} and {held} != {_quoted(value)}"
    # Milvus Lite knows `in` of columns only.
    if op == "in":
        return _chain([f"{held} == {_quoted(item)}" for item in listed(value)], "or")
    if op == "not in":
        return _chain([there, *(f"{held} != {_quoted(item)}" for item in listed(value))], "and")
    return f"{held} {op} {_quoted(value)}"


def _chain(parts: Sequence[str], word: str) -> str:
    """Expressions joined in a balanced tree: a chain of a thousand is too deep for Milvus."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_chain(parts[:middle], word)} {word} {_chain(parts[middle:], word)})"


def _quoted(value: Any) -> str:
    """A value as Milvus reads it: JSON, whose escapes are the same as Milvus' as long as there are no others.

    Control characters, which JSON would write as an escape by number, are in no value of a filter.
    """
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
