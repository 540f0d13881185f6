"""Files that are there as a whole, or not at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["write_json", "write_lines"]


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document."""
    write_lines(path, [json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a temporary file, then give it its name."""
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with unfinished.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
