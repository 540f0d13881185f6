"""The kinds of documents that can be read, by name; light, so that a configuration is checked without importing one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath

READERS: Mapping[str, str] = {
    "csv": "confrag.build.readers.tables:read_csv",
    "docx": "confrag.build.readers.office:read_docx",
    "epub": "confrag.build.readers.ebook:read_epub",
    "html": "confrag.build.readers.web:read_html",
    "json": "confrag.build.readers.records:read_json",
    "jsonl": "confrag.build.readers.records:read_jsonl",
    "markdown": "confrag.build.readers.text:read_markdown",
    "pdf": "confrag.build.readers.pdf:read_pdf",
    "pptx": "confrag.build.readers.office:read_pptx",
    "text": "confrag.build.readers.text:read_text",
    "xlsx": "confrag.build.readers.tables:read_xlsx",
}
"""Kind of reader -> ``module:function``, a function of a path that returns sections."""

EXTENSIONS: Mapping[str, str] = {
    "csv": "csv",
    "docx": "docx",
    "epub": "epub",
    "htm": "html",
    "html": "html",
    "json": "json",
    "jsonl": "jsonl",
    "log": "text",
    "markdown": "markdown",
    "md": "markdown",
    "ndjson": "jsonl",
    "pdf": "pdf",
    "pptx": "pptx",
    "rst": "text",
    "text": "text",
    "tsv": "csv",
    "txt": "text",
    "xhtml": "html",
    "xlsx": "xlsx",
}
"""File extension (lower case, no dot) -> kind of reader."""


def extension_of(name: str | PurePath) -> str:
    """The extension that decides how a file is read: lower case, no dot, empty where there is none."""
    return os.path.splitext(name)[1].lower().removeprefix(".")  # noqa: PTH122 (ten times as fast)


def kind_of(name: str | PurePath, readers: Mapping[str, str]) -> str | None:
    """The kind of reader for a file, None when there is none.

    Args:
        name: the file's name or path.
        readers: extension -> kind, as a configuration has it (``log`` or ``.log``); goes before `EXTENSIONS`.
    """
    extension = extension_of(name)
    chosen = {key.lower().removeprefix("."): kind for key, kind in readers.items()}
    return chosen.get(extension) or EXTENSIONS.get(extension)
