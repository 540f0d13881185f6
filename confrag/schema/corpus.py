"""`corpus`: which documents are read, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from confrag.schema.base import Name, Spec


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[Name, ...], BeforeValidator(_listed)]


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
    on_error: Literal["report", "fail"] = "report"
    """What an unreadable file does: be reported while the run goes on, or end it with exit code 2."""
