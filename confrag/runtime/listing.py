"""The documents of a corpus as they are listed: each with its state, its metadata and its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from confrag.build.nodes import document_id
from confrag.build.private.nodes import ROOT_GROUP
from confrag.build.readers import read
from confrag.build.readers.section import UnreadableFileError
from confrag.runtime.background import Doing
from confrag.runtime.corpus import SourceFile
from confrag.runtime.described import edited
from confrag.runtime.inventory import Overview
from confrag.runtime.metadata import known_of
from confrag.runtime.overlay import Entry

__all__ = ["DocumentInfo", "listed", "said_by"]


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document.

    Attributes:
        id: stable as long as its name is, 32 hexadecimal digits.
        name: its path in the corpus, with forward slashes.
        origin: ``corpus``: a file that the configuration names; ``added``: at run time.
        path: where it lies on disk.
        size: bytes.
        modified: when its content last changed, ISO 8601 in UTC.
        status: ``waiting`` to be ingested, ``working``, ``success``, ``failed``, or ``deleting``: it is gone, and its
            nodes go next.
        reason: why it failed, or what it waits for.
        metadata: what is known of it.
        nodes: node group -> number of nodes, of what answers come from now.
    """

    id: str
    name: str
    origin: str
    path: str
    size: int
    modified: str
    status: str
    reason: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the place on disk, which is nobody's business outside."""
        return {key: value for key, value in asdict(self).items() if key != "path"}


def listed(overview: Overview, doing: Doing, at: Set[str]) -> list[DocumentInfo]:
    """Every document, by name; those that cannot be read, and those that are on their way out, among them.

    Args:
        overview: of the corpus.
        doing: what the ingest in the background is at.
        at: the names of the files that it is working on.
    """
    work = overview.work
    unchanged = frozenset(work.unchanged)

    def status(name: str) -> tuple[str, str]:
        if name in at:
            return "working", ""
        # One that was written a moment ago is compared by its content, and of a failed one there is none.
        record = work.records.get(name)
        if record and record.state == "failed" and (name in work.failed or doing.state == "idle"):
            return "failed", record.reason
        return ("success", "") if name in unchanged else ("waiting", doing.error)

    rows = [_info(file, *status(file.name), overview) for file in overview.found.files]
    for skipped in overview.found.skipped:
        rows.append(_info(SourceFile(str(skipped.path), skipped.name), "failed", skipped.reason, overview))
    for name in work.removed:
        rows.append(DocumentInfo(document_id(name), name, "corpus", "", 0, "", "deleting"))
    return sorted(rows, key=lambda row: row.name)


def said_by(name: str, overview: Overview, readers: Mapping[str, str]) -> Mapping[str, Any]:
    """What a document, a file beside it and the configuration say; of one that waits, it is read.

    Args:
        name: of a document that is listed and not on its way out.
        overview: of the corpus.
        readers: of the configuration, by extension.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    if name in overview.said and name in overview.work.unchanged:
        return overview.said[name]
    for skipped in overview.found.skipped:
        if skipped.name == name:
            raise UnreadableFileError(skipped.path, skipped.reason)
    file = next(file for file in overview.found.files if file.name == name)
    try:
        # Without the declared types: a value of another type is what an edit may have to put right.
        return known_of(file, read(file.path, readers), {}).said
    except OSError as error:
        raise UnreadableFileError(file.path, error.strerror or str(error)) from None


def _info(file: SourceFile, status: str, reason: str, overview: Overview) -> DocumentInfo:
    try:
        stat = Path(file.location).stat()
    except OSError:
        size, modified = 0, ""
    else:
        size, modified = stat.st_size, datetime.fromtimestamp(stat.st_mtime, timezone.utc).isoformat("T", "seconds")
    entry = overview.changes.get(file.name, Entry(file.name))
    record = overview.work.records.get(file.name)
    groups = record.groups if record else {}
    return DocumentInfo(
        document_id(file.name),
        file.name,
        "added" if entry.added else "corpus",
        file.location,
        size,
        modified,
        status,
        reason,
        edited(overview.said.get(file.name, {}), entry.edits),
        {name: number for name, (_, number) in groups.items() if name != ROOT_GROUP},
    )
