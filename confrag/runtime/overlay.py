"""What was changed of a corpus at run time: documents that were added, taken out, or described in another way.

It lies below `state_dir`, beside the folders that the configuration names, which are the user's and are never written
to. All configurations over the same corpus see the same changes, and every verb does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from confrag.build.nodes import document_id
from confrag.build.shared_file import open_shared
from confrag.errors import UserError
from confrag.plan.compile import corpus_paths
from confrag.plan.model import Params, Plan, canonical
from confrag.runtime.corpus import Scan, SourceFile, given_to, is_sidecar

__all__ = ["Edits", "Entry", "Overlay", "check_name"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    name TEXT PRIMARY KEY, added TEXT NOT NULL, hidden INTEGER NOT NULL, edits TEXT NOT NULL) WITHOUT ROWID;
"""
_VERSION = 1
_FILE = "changes.sqlite3"
_LONGEST = 200
"""Bytes of a part of a name: what file systems allow, less what is put behind it."""
_DEEPEST = 16
_JOINERS = "\u200c\u200d"
"""Format characters that words are written with, in Persian for instance; the others hide what a name is."""


@dataclass(frozen=True)
class Edits:
    """What was said of a document at run time.

    Attributes:
        set: metadata that go before what the document itself, a file beside it and the configuration say.
        drop: names of metadata of theirs that do not count.
        pairs: node group -> question -> what stands in its place, a question and its answer; None: nothing.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    pairs: Mapping[str, Mapping[str, tuple[str, str] | None]] = field(default_factory=dict)

    def params(self) -> Params:
        """The same, without what says nothing, as a part of `SourceFile`."""
        return Params({key: value for key, value in self.as_dict().items() if value})

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        pairs = {
            group: {asked: pair and list(pair) for asked, pair in found.items()}
            for group, found in self.pairs.items()
            if found
        }
        return {"set": dict(self.set), "drop": sorted(self.drop), "pairs": pairs}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Edits:
        """The inverse of `as_dict`."""
        pairs = {
            group: {asked: (pair[0], pair[1]) if pair else None for asked, pair in found.items()}
            for group, found in data.get("pairs", {}).items()
        }
        return cls(dict(data.get("set", {})), tuple(data.get("drop", ())), pairs)


@dataclass(frozen=True)
class Entry:
    """A document of which something was changed.

    Attributes:
        added: name of the file in the overlay's folder of this document; empty: it is one of the corpus.
        hidden: the document of this name that the corpus has is taken out.
    """

    name: str
    added: str = ""
    hidden: bool = False
    edits: Edits = Edits()


class Overlay:
    """The changes to the corpus of a plan. Safe for threads, and for several processes at once.

    Nothing is made on disk before the first change.

    Args:
        plan: its corpus and its `state_dir`.
    """

    def __init__(self, plan: Plan) -> None:
        key = hashlib.sha256(canonical(corpus_paths(plan.corpus)).encode()).hexdigest()[:12]
        self.directory = Path(plan.state_dir).expanduser().absolute() / "documents" / key
        self._metadata = plan.corpus.metadata
        self._guard = threading.RLock()
        self._database: sqlite3.Connection | None = None

    def entries(self) -> dict[str, Entry]:
        """Every document of which something was changed, by name.

        Raises:
            UserError: the record cannot be read.
        """
        with self._guard:
            if self._database is None and not (self.directory / _FILE).exists():
                return {}
            return {entry.name: entry for entry in map(_entry, self._open().execute("SELECT * FROM documents"))}

    def edits(self, name: str) -> Edits:
        """What was said of a document. Raises as `entries`."""
        return self.entries().get(name, Entry(name)).edits

    def apply(self, found: Scan) -> Scan:
        """The corpus as it was found, with the changes."""
        entries = self.entries()
        if not entries:
            return found
        files = {file.name: file for file in found.files}
        for entry in entries.values():
            if entry.added:
                given = given_to(entry.name, self._metadata)
                files[entry.name] = SourceFile(str(self.place(entry)), entry.name, "", given)
            elif entry.hidden:
                files.pop(entry.name, None)
            if entry.name in files:
                location, name, sidecar, given, _ = files[entry.name]
                files[entry.name] = SourceFile(location, name, sidecar, given, entry.edits.params())
        hidden = {entry.name for entry in entries.values() if entry.hidden or entry.added}
        return Scan(
            tuple(files[name] for name in sorted(files)),
            tuple(skipped for skipped in found.skipped if skipped.name not in hidden),
        )

    def place(self, entry: Entry) -> Path:
        """Where an added document lies: below a folder named by its id, so that no name leads anywhere else."""
        return self.directory / "files" / document_id(entry.name) / entry.added

    def add(self, name: str, content: IO[bytes], edits: Edits | None = None) -> None:
        """Add a document, or put another content in its place. It is safe on disk when this returns.

        Args:
            name: see `check_name`; one that the corpus has is hidden by this one.
            content: is read to its end.
            edits: what is said of it from now on; None: what was said before.

        Raises:
            UserError: it cannot be written.
        """
        check_name(name)
        entry = Entry(name, name.rpartition("/")[2])
        target = self.place(entry)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
            try:
                with unfinished.open("wb") as file:
                    shutil.copyfileobj(content, file, 2**20)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{target.parent}: cannot be written: {error.strerror or error}") from None
        with self._changing(name) as before:
            self._put(replace(before, added=entry.added, edits=before.edits if edits is None else edits))

    def remove(self, name: str, in_corpus: bool) -> None:
        """Take a document out. Its file goes when it was added; one of the corpus stays where it is, and is hidden.

        Args:
            name: of the document.
            in_corpus: whether the corpus has a file of this name.
        """
        with self._changing(name) as entry:
            if in_corpus:
                self._put(Entry(name, hidden=True))
            else:
                self._open().execute("DELETE FROM documents WHERE name = ?", (name,))
        if entry.added:
            shutil.rmtree(self.place(entry).parent, ignore_errors=True)

    def restore(self, name: str) -> None:
        """Let a document of the corpus that was taken out be read again."""
        with self._changing(name) as entry:
            self._put(replace(entry, hidden=False))

    def edit(self, name: str, edits: Edits) -> None:
        """Say something else of a document."""
        with self._changing(name) as entry:
            self._put(replace(entry, edits=edits))

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _put(self, entry: Entry) -> None:
        if entry == Entry(entry.name):
            self._open().execute("DELETE FROM documents WHERE name = ?", (entry.name,))
            return
        edits = json.dumps(entry.edits.as_dict(), ensure_ascii=False)
        row = (entry.name, entry.added, entry.hidden, edits)
        self._open().execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", row)

    @contextmanager
    def _changing(self, name: str) -> Iterator[Entry]:
        """The entry as it is, in a transaction."""
        with self._guard:
            database = self._open()
            database.execute("BEGIN IMMEDIATE")
            try:
                row = database.execute("SELECT * FROM documents WHERE name = ?", (name,)).fetchone()
                yield _entry(row) if row else Entry(name)
                database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = open_shared(self.directory / _FILE, _SCHEMA, _VERSION, "record of added documents")
            # Unlike a cache, it is not made again.
            self._database.execute("PRAGMA synchronous = FULL")
        return self._database


def check_name(name: str, extensions: Iterable[str] = ()) -> None:
    """Whether a document may be called so: a relative path with forward slashes, as in the corpus.

    Args:
        name: of a document to be added.
        extensions: those that can be read; none given: not looked at.

    Raises:
        UserError: it may not; the message says why.
    """
    parts = name.split("/")
    shown = repr(name if len(name) <= 80 else name[:79] + "…")
    if not all(parts) or "\\" in name or any(part in (".", "..") for part in parts):
        raise UserError(f"{shown} is no name of a document: a relative path, as guides/start.md, without '..' or '\\'")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cf") for character in name if character not in _JOINERS):
        raise UserError(f"{shown} is no name of a document: it has control characters")
    if any(part.startswith((".", "~$")) for part in parts):
        raise UserError(f"{shown}: names that begin with a dot or '~$' are passed over; rename it")
    if len(parts) > _DEEPEST or any(len(part.encode()) > _LONGEST for part in parts):
        raise UserError(f"{shown} is too long: at most {_DEEPEST} parts of {_LONGEST} bytes")
    if is_sidecar(parts[-1]):
        raise UserError(f"{shown} would describe another file; give metadata with the document itself")
    known = sorted(extensions)
    if known and parts[-1].rpartition(".")[2].lower() not in known:
        raise UserError(f"{shown}: no reader for this kind of file; known: {', '.join(known)}")


def _entry(row: tuple[str, str, int, str]) -> Entry:
    name, added, hidden, edits = row
    return Entry(name, added, bool(hidden), Edits.of(json.loads(edits)))
