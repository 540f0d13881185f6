"""`doc_fields`: the metadata of documents that may be filtered by, and the one form of their values.

A value is stored, compared and written down in one form, so that every store understands it alike: a text is one line
of composed characters (NFC) without control characters, a date the number YYYYMMDD, a list of texts a tuple.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from confrag.schema.base import Spec

__all__ = ["RESERVED", "DocFieldSpec", "FieldName", "FieldType", "Scalar", "Value", "as_type", "shown"]

FieldType = Literal["string", "int", "float", "bool", "date", "strings"]
Scalar = str | int | float | bool
Value = Scalar | tuple[str, ...]
"""A value in the form in which it is stored."""

RESERVED = frozenset(
    {
        "docid",
        "file",
        "kb_id",
        "lazyllm_doc_path",
        "file_name",
        "file_type",
        "file_size",
        "creation_date",
        "last_modified_date",
        "last_accessed_date",
    }
)
"""Names that are LazyLLM's or ours; `file`, a document's name in the corpus, may be filtered by without declaration."""

FieldName = Annotated[str, StringConstraints(strict=True, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

_LARGEST = 2**63 - 1
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class DocFieldSpec(Spec):
    """A field of the documents' metadata; the bare name of a type stands for it (``year: int``)."""

    type: FieldType
    """``string``, ``int``, ``float``, ``bool``, ``date`` (YYYY-MM-DD), or ``strings``, a list of texts."""


def _named(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


DocFields = Annotated[
    Mapping[FieldName, Annotated[DocFieldSpec, BeforeValidator(_named)]], Field(default_factory=dict, max_length=100)
]


def as_type(value: object, kind: str) -> Value:
    """A value in the form in which it is stored.

    Args:
        value: as YAML, JSON or Python has it.
        kind: a `FieldType`.

    Raises:
        ValueError: it is not of this type; the message says what would be: ``must be a whole number``.
    """
    return _CONVERSIONS[kind](value)


def shown(value: Any, kind: str) -> Any:
    """The inverse of `as_type`, as plain data: a date is ``YYYY-MM-DD``, texts are a list."""
    if kind == "date":
        return f"{value // 10_000:04}-{value // 100 % 100:02}-{value % 100:02}"
    return list(value) if kind == "strings" else value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text (quote it)")
    spaced = re.sub(r"\s+", " ", unicodedata.normalize("NFC", value))
    return "".join(character for character in spaced if unicodedata.category(character) not in ("Cc", "Cs")).strip()


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LARGEST:
        raise ValueError("must be a whole number of at most 63 bits")
    return value


def _float(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number + 0.0  # no negative zero


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _date(value: object) -> int:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            value = date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"must be a date that exists ({error})") from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("must be a date, YYYY-MM-DD")
    return value.year * 10_000 + value.month * 100 + value.day


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("must be a list of texts")
    return tuple(dict.fromkeys(_string(item) for item in value))


_CONVERSIONS: Mapping[str, Callable[[object], Value]] = MappingProxyType(
    {"string": _string, "int": _int, "float": _float, "bool": _bool, "date": _date, "strings": _strings}
)
