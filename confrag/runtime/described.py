"""Metadata that are edited at run time: what they may be, and what comes of an edit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from confrag.errors import UserError
from confrag.runtime.overlay import Edits
from confrag.schema.doc_fields import RESERVED, as_type

__all__ = ["added_to", "checked", "edited", "edits_to", "without"]

_MOST_BYTES = 50_000
"""Of the metadata of a document, as JSON."""
_LONGEST_NAME = 64


def edited(said: Mapping[str, Any], edits: Edits) -> dict[str, Any]:
    """What is known of a document.

    Args:
        said: by itself, a file beside it and the configuration.
        edits: at run time.
    """
    return {**{key: value for key, value in said.items() if key not in edits.drop}, **edits.set}


def edits_to(
    said: Mapping[str, Any],
    before: Edits,
    change: Callable[[dict[str, Any]], Mapping[str, Any]],
    types: Mapping[str, str],
) -> Edits:
    """The edits that make of what is known of a document what `change` makes of it.

    Args:
        said: by itself, a file beside it and the configuration.
        before: the edits until now.
        change: what is known -> what is to be known.
        types: of the declared fields.

    Raises:
        UserError: a value may not be.
    """
    new = checked(change(edited(said, before)), types)
    put = {key: value for key, value in new.items() if key not in said or said[key] != value}
    return replace(before, set=put, drop=tuple(key for key in said if key not in new))


def added_to(known: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with further values: where there is one already, both are a list."""
    result = dict(known)
    for key, value in values.items():
        before, new = result.get(key), value if isinstance(value, list) else [value]
        if before in (None, "", []):
            result[key] = value
        else:
            result[key] = [*(before if isinstance(before, list) else [before]), *new]
    return result


def without(known: Mapping[str, Any], gone: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata less some.

    Args:
        known: the metadata.
        gone: key -> the value that it must have to go, or to go from a list; None: whatever it is.
    """
    result = dict(known)
    for key, value in gone.items():
        if key not in result:
            continue
        listed = value if isinstance(value, list) else [value]
        if value is None or result[key] == value:
            del result[key]
        elif isinstance(result[key], list):
            result[key] = [item for item in result[key] if item not in listed]
    return result


def checked(values: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """The values, all of which a document may have.

    Args:
        values: name -> a text, a number, true or false, or a list of them.
        types: of the declared fields.

    Raises:
        UserError: one may not be, and why.
    """
    for key, value in values.items():
        shown = f"metadata '{key}'"
        if not key or len(key) > _LONGEST_NAME or not key.isprintable():
            raise UserError(f"{shown}: a name has 1 to {_LONGEST_NAME} printable characters")
        if key in RESERVED or key.startswith("lazyllm_"):
            raise UserError(f"{shown} is a reserved name; choose another")
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str | bool | int | float):
                raise UserError(f"{shown} = {item!r}: must be a text, a number, true or false, or a list of them")
            if isinstance(item, float) and not math.isfinite(item):
                raise UserError(f"{shown} = {item!r}: must be a finite number")
        if key in types:
            try:
                as_type(value, types[key])
            except ValueError as error:
                raise UserError(f"{shown} = {value!r} {error}; doc_fields declares it as {types[key]}") from None
    if len(json.dumps(dict(values), ensure_ascii=False).encode("utf-8", "replace")) > _MOST_BYTES:
        raise UserError(f"metadata of a document may take {_MOST_BYTES:,} bytes; shorten them")
    return dict(values)
