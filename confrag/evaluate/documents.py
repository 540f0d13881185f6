"""The documents of a dataset as files, shared by all evaluations below one `state_dir`."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from confrag.errors import UserError
from confrag.evaluate.dataset import Document

__all__ = ["file_names", "write_documents"]

_LONGEST = 150
"""Of a file's name: file systems take 255 bytes, and a sidecar file adds to it."""


def file_names(ids: Iterable[str]) -> dict[str, str]:
    """Document id -> name of its file: safe everywhere, readable where it can be, and no two alike.

    Two ids that differ in case only have one name where a file system does not tell them apart; they, and ids that are
    too long, get a digest.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for identity in ids:
        name = quote(identity, safe="")
        if name[0] in ".~":  # such files are passed over
            name = f"%{ord(name[0]):02X}{name[1:]}"
        if len(name) > _LONGEST or name.casefold() in taken:
            name = f"{name[:100]}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
        taken.add(name.casefold())
        names[identity] = f"{name}.txt"
    return names


def write_documents(documents: Iterable[Document], folder: Path) -> dict[str, str]:
    """Write one text file for each document: its title, an empty line, its text; further fields in a file beside it.

    What is there already stays as it is, so that it is read once for all evaluations. It comes into being as a whole,
    so that an interrupt, or another process that writes the same, leaves no half of it.

    Args:
        documents: to be written.
        folder: named by the digest of the documents.

    Returns:
        Name of the file -> document id.

    Raises:
        UserError: it cannot be written.
    """
    documents = tuple(documents)
    names = file_names(document.id for document in documents)
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _write(documents, names, folder)
        except OSError as error:
            raise UserError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from None
    return {name: identity for identity, name in names.items()}


def _write(documents: Iterable[Document], names: dict[str, str], folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    unfinished.mkdir()
    try:
        for document in documents:
            for name, text in _files(document, names[document.id]):
                (unfinished / name).write_text(text, "utf-8", errors="replace", newline="\n")
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)


def _files(document: Document, name: str) -> Iterator[tuple[str, str]]:
    text = f"{document.title}\n\n{document.text}\n".lstrip()
    if not text:
        return  # nothing that could be found
    # Two lines of dashes at the top would be taken for front matter.
    yield name, f"\n{text}" if text.startswith("---") else text
    if document.fields:
        yield f"{name}.meta.json", json.dumps(document.fields, ensure_ascii=False)
