"""`corpus`: which documents are read, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from confrag.schema.base import Flag, Name, Number, Spec, Text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[Name, ...], BeforeValidator(_listed)]


Metadatum = Flag | Annotated[int, Field(strict=True)] | Number | Text | Annotated[tuple[Text, ...], Field(strict=False)]


class MetadataSpec(Spec):
    """Metadata of all files whose names match; what the files say of themselves goes before it."""

    glob: Name | None = None
    """Which files, as in `include`; left out: the name of the entry is the glob."""
    values: Mapping[Name, Metadatum]
    """Field -> value: a text, a number, true or false, or a list of texts; a date as ``YYYY-MM-DD``."""


class CorpusSpec(Spec):
    """The documents. Paths are relative to the folder in which the command runs."""

    path: Annotated[Names, Field(min_length=1)]
    """Files and folders (read with their sub-folders), or ``pkg://package`` for documents inside a package."""
    include: Names = ("**/*",)
    """Globs against the path below the corpus folder; a file must match one of them."""
    exclude: Names = ()
    """Globs; a file that matches one of them is left out."""
    readers: Mapping[str, Name] = Field(default_factory=dict)
    """File extension -> reader, where the usual one is not wanted: ``{log: text}``."""
    metadata: Mapping[Name, MetadataSpec] = Field(default_factory=dict)
    """Metadata by glob: ``{old: {glob: "archive/**", values: {year: 1999}}}``; the last that matches counts."""
    on_error: Literal["report", "fail"] = "report"
    """What an unreadable file does: be reported while the run goes on, or end it with exit code 2."""
