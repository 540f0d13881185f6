"""Filters on the metadata of documents: what a user writes, and the one form in which they are kept and compared.

    {"subject": "biology", "year": {">=": 2020, "<": 2024}, "lang": ["en", "zh"], "tags": {"contains": "draft"}}

All conditions must hold together. A document without the field never matches, whatever the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from confrag.errors import Problem, UserError, nearest
from confrag.schema.doc_fields import Scalar, as_type

__all__ = ["FILE", "WORDS", "Condition", "Filters", "joined", "parse", "problems_of"]

FILE = "file"
"""The name of a document in its corpus; a text that needs no declaration."""

WORDS: Mapping[str, str] = MappingProxyType(
    {"==": "eq", "!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "not in": "not_in"}
)
"""Operator -> the word that may stand for it, where a command line has no room for the sign."""

_EQUALITY = ("==", "!=", "in", "not in")
_ORDER = (">", ">=", "<", "<=")
_OPERATORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "string": _EQUALITY,
        "bool": _EQUALITY,
        "int": (*_EQUALITY, *_ORDER),
        "float": (*_EQUALITY, *_ORDER),
        "date": (*_EQUALITY, *_ORDER),
        "strings": ("contains", "in", "not in"),
    }
)
"""Type of a field -> its operators. Of a list, ``in`` asks for any of the texts, ``not in`` for none of them."""
_OF_LISTS = {"in": "contains any", "not in": "contains none"}
_ALONE = {"in": "==", "not in": "!=", "contains any": "contains"}
_MOST = 1000


class Condition(NamedTuple):
    """One condition, of plain data that compares and hashes by its contents.

    Attributes:
        field: name of the metadata.
        op: ``==``, ``!=``, ``>``, ``>=``, ``<``, ``<=``, ``in``, ``not in``; of lists ``contains``, ``contains any``,
            ``contains none``.
        value: in the form in which it is stored; sorted, without repetitions, where there may be several.
    """

    field: str
    op: str
    value: Scalar | tuple[Scalar, ...]


Filters = tuple[Condition, ...]
"""Conditions that hold together: sorted, each once, so that equal filters are equal values."""


def joined(*filters: Filters) -> Filters:
    """All conditions of several filters."""
    return tuple(sorted({condition for each in filters for condition in each}))


def parse(raw: Mapping[str, object], fields: Mapping[str, str], place: str = "filters") -> Filters:
    """The conditions of a filter.

    Args:
        raw: field -> a value, a list of allowed values, or operator -> value.
        fields: the declared fields with their types.
        place: where the filter stands, for messages.

    Raises:
        UserError: everything that is wrong with it, a line each.
    """
    found = _read(raw, fields, place)
    if problems := [str(entry) for entry in found if isinstance(entry, Problem)]:
        raise UserError("\n".join(problems))
    return joined(tuple(entry for entry in found if isinstance(entry, Condition)))


def problems_of(raw: Mapping[str, object], fields: Mapping[str, str], place: str = "filters") -> list[Problem]:
    """Everything that is wrong with a filter; see `parse`."""
    return [entry for entry in _read(raw, fields, place) if isinstance(entry, Problem)]


def _read(raw: Mapping[str, object], fields: Mapping[str, str], place: str) -> list[Condition | Problem]:
    return [entry for name, value in raw.items() for entry in _field(str(name), value, fields, f"{place}.{name}")]


def _field(name: str, raw: object, fields: Mapping[str, str], place: str) -> Iterator[Condition | Problem]:
    known = {**fields, FILE: "string"}
    if name not in known:
        message = f"there is no field of this name to filter by; known: {', '.join(known)} (declare it in doc_fields)"
        yield Problem(place, message, nearest=nearest(name, known))
        return
    kind = known[name]
    if isinstance(raw, Mapping):
        if not raw:
            yield Problem(place, f"names no operator; allowed: {', '.join(_OPERATORS[kind])}")
        for operator, value in raw.items():
            yield _condition(name, str(operator), value, kind, f"{place}.{operator}")
    else:
        several = isinstance(raw, list | tuple | set | frozenset)
        yield _condition(name, "in" if several else "contains" if kind == "strings" else "==", raw, kind, place)


def _condition(name: str, operator: str, value: object, kind: str, place: str) -> Condition | Problem:
    allowed = _OPERATORS[kind]
    by_word = {word: sign for sign, word in WORDS.items()}
    operator = by_word.get(operator, operator)
    if operator not in allowed:
        close = nearest(operator, [*allowed, *(word for word, sign in by_word.items() if sign in allowed)])
        message = f"'{operator}' is no operator of a field of type {kind}; allowed: {', '.join(allowed)}"
        return Problem(place, message, nearest=close)
    of_one = "string" if kind == "strings" else kind
    try:
        if operator not in ("in", "not in"):
            return Condition(name, operator, _one(name, value, of_one))
        if not isinstance(value, list | tuple | set | frozenset):
            raise ValueError(f"'{operator}' takes a list of values")
        if len(value) > _MOST:
            raise ValueError(f"{len(value):,} values; at most {_MOST:,}")
        values = tuple(sorted({_one(name, item, of_one) for item in value}))
    except ValueError as error:
        return Problem(place, f"{error}; the field '{name}' is of type {kind}", value)
    operator = _OF_LISTS[operator] if kind == "strings" else operator
    if operator in _ALONE and len(values) == 1:
        return Condition(name, _ALONE[operator], values[0])
    return Condition(name, operator, values)


def _one(name: str, value: object, kind: str) -> Scalar:
    if name == FILE and isinstance(value, str):
        # Letter by letter as the file system has it; half a character is in no name of the corpus.
        if "\0" not in value and value.encode(errors="ignore").decode() == value:
            return value
        raise ValueError("must be the name of a file")
    found = as_type(value, kind)
    assert not isinstance(found, tuple)
    return found
