"""What a reader returns, and the error of a file that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confrag.errors import UserError

Scalar = str | int | float | bool


@dataclass(frozen=True)
class Section:
    """A stretch of a document that is chunked on its own: a page, a slide, a sheet, a record, or the whole file.

    Attributes:
        text: what it says, as plain text or Markdown.
        metadata: where it stands in the file (``page``, ``slide``, ``sheet``, ``row``, ...) and its own.
        document: what the file says of itself as a whole: its front matter, as YAML has it.
    """

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)


class UnreadableFileError(UserError):
    """A file of the corpus that cannot be read.

    Attributes:
        path: the file.
        reason: why, in a few words, without the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # both as arguments, so that the error survives pickling between processes
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot read '{self.path}': {self.reason}"
