"""What is known of a file beside its text: from the configuration, its front matter, and a file beside it.

Of several sources that name the same key, the last of these counts: ``corpus.metadata``, front matter, sidecar file,
what was said at run time (`confrag.runtime.overlay`).
Fields that `doc_fields` declares are checked and may be filtered by; what else there is travels with the text, as
scalars and lists of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from confrag.build.readers.clean import clean
from confrag.build.readers.section import Section, UnreadableFileError
from confrag.plan.model import thaw
from confrag.runtime.corpus import SourceFile
from confrag.schema.doc_fields import Value, as_type

__all__ = ["Known", "known_of"]

_MOST_BYTES = 60_000
"""Of the declared fields together, as JSON: Milvus holds 65,536."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file.

    Attributes:
        fields: the declared metadata, in the form in which they are stored.
        sections: of the file, each with all other metadata below its own.
        said: all of it but what was said at run time, as JSON has it.
    """

    fields: Mapping[str, Value]
    sections: Sequence[Section]
    said: Mapping[str, Any]


def known_of(file: SourceFile, sections: Sequence[Section], types: Mapping[str, str]) -> Known:
    """Bring together what is known of a file.

    Args:
        file: with its sidecar file and what the configuration gives.
        sections: what was read of it, with its front matter.
        types: the declared fields.

    Raises:
        UnreadableFileError: the sidecar file cannot be read, or a declared field has another type.
        OSError: the sidecar file cannot be opened.
    """
    front = {key: value for section in sections for key, value in section.document.items()}
    found: dict[str, tuple[Any, str]] = {}
    for source, values in (
        ("corpus.metadata", thaw(file.given)),
        ("its front matter", front),
        (Path(file.sidecar).name, _sidecar(file)),
    ):
        found.update({str(key): (value, source) for key, value in values.items() if value is not None})
    said = dict(_plain({key: value for key, (value, _) in found.items()}))
    edits = thaw(file.edits)
    found.update({key: (value, "edited") for key, value in edits.get("set", {}).items()})
    for key in edits.get("drop", ()):
        found.pop(key, None)
    fields = {name: _typed(file, name, *found.pop(name), kind) for name, kind in types.items() if name in found}
    size = len(json.dumps(fields, ensure_ascii=False).encode())
    if size > _MOST_BYTES:
        reason = f"its metadata take {size:,} bytes; at most {_MOST_BYTES:,} can be filtered by: shorten them"
        raise UnreadableFileError(file.path, reason)
    others = dict(_plain({key: value for key, (value, _) in found.items()}))
    sections = [replace(section, metadata={**others, **section.metadata}) for section in sections]
    return Known(fields, sections, said)


def _typed(file: SourceFile, name: str, value: Any, source: str, kind: str) -> Value:
    try:
        return as_type(value, kind)
    except ValueError as error:
        reason = f"metadata '{name}' = {value!r} ({source}) {error}; doc_fields declares it as {kind}"
        raise UnreadableFileError(file.path, reason) from None


def _sidecar(file: SourceFile) -> dict[Any, Any]:
    if not file.sidecar:
        return {}
    path = Path(file.sidecar)
    try:
        content = path.read_bytes()
        held = json.loads(content.decode("utf-8-sig")) if path.suffix == ".json" else yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        reason = f"its metadata in {path.name} cannot be read: no {kind} ({' '.join(str(error).split())})"
        raise UnreadableFileError(file.path, reason) from None
    if not isinstance(held, dict | None):
        raise UnreadableFileError(file.path, f"its metadata in {path.name} must be a mapping (key: value)")
    return held or {}


def _plain(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Scalars and lists of scalars as JSON has them; what is deeper is left out."""
    for key, value in values.items():
        if isinstance(value, list | tuple):
            yield key, [_scalar(item) for item in value if not isinstance(item, list | tuple | dict | None)]
        elif not isinstance(value, dict):
            yield key, _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    return value.isoformat() if isinstance(value, date) else clean(str(value))
