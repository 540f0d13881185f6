"""JSON and JSON Lines: a record is a section. LazyLLM has no reader for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confrag.build.readers.section import Scalar, Section, UnreadableFileError
from confrag.build.readers.text import load_text

_TEXT_FIELDS = ("text", "content", "contents", "body")
"""A record that has one of these is a document: that field is its text, the other plain fields are metadata."""


def read_json(path: Path) -> list[Section]:
    """A list of objects: one section each (metadata: ``record``, from 1); anything else: one section."""
    data = _parse(path, load_text(path), "")
    if isinstance(data, list) and data and all(isinstance(record, dict) for record in data):
        return [_record(record, number) for number, record in enumerate(data, start=1)]
    return [Section("\n".join(_lines(data, "")))]


def read_jsonl(path: Path) -> list[Section]:
    """One section per line that is not blank (metadata: ``record``, the number of the line, from 1)."""
    lines = enumerate(load_text(path).split("\n"), start=1)
    return [_record(_parse(path, line, f"line {number}: "), number) for number, line in lines if line.strip()]


def _parse(path: Path, text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{place}{error.msg} at column {error.colno}" if place else f"{error.msg} at line {error.lineno}"
        raise UnreadableFileError(path, f"not valid JSON: {where}") from error


def _record(record: Any, number: int) -> Section:
    field = next((name for name in _TEXT_FIELDS if isinstance(record, dict) and _is_text(record.get(name))), None)
    if field is None:
        return Section("\n".join(_lines(record, "")), {"record": number})
    title = record.get("title")
    text = f"{title}\n\n{record[field]}" if _is_text(title) else record[field]
    metadata: dict[str, Scalar] = {
        name: value
        for name, value in record.items()
        if name != field and isinstance(value, str | int | float) and value != ""
    }
    return Section(text, {**metadata, "record": number})


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _lines(value: Any, name: str) -> Iterator[str]:
    """Every value on a line that says where it stands, ``ports.north.depth: 4``; a plain record of a list in one line.

    ``vessels[1]: name: Lapwing; length: 24``, so that no chunk holds the length without the name.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(item, f"{name}.{key}" if name else key)
    elif _is_plain(value):
        shown = ", ".join(_shown(item) for item in value) if isinstance(value, list) else _shown(value)
        if shown:
            yield f"{name}: {shown}" if name else shown
    else:
        for number, item in enumerate(value, start=1):
            if isinstance(item, dict) and all(_is_plain(part) for part in item.values()):
                yield f"{name}[{number}]: " + "; ".join(
                    line for key, part in item.items() for line in _lines(part, key)
                )
            else:
                yield from _lines(item, f"{name}[{number}]")


def _is_plain(value: object) -> bool:
    return not any(isinstance(item, dict | list) for item in (value if isinstance(value, list) else [value]))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
