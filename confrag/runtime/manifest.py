"""What a collection holds, file by file: an SQLite database beside its store.

It is the record that a start compares with the corpus. A file is entered as pending before the first of its rows is
written, and as done when all of them are safe; what a killed process leaves behind is therefore always pending, and
done once more.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from confrag.errors import UserError

__all__ = ["SEAL", "UNFINISHED", "FileRecord", "GroupRecord", "Manifest", "Stamp"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS groups (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, recipe TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    hash TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    file TEXT NOT NULL, node_group TEXT NOT NULL, fingerprint TEXT NOT NULL, nodes INTEGER NOT NULL,
    PRIMARY KEY (file, node_group)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS said (file TEXT PRIMARY KEY, metadata TEXT NOT NULL) WITHOUT ROWID;
"""
_VERSION = 1

SEAL = "seal"
"""Note: the sizes of the store's files when it was closed; empty while it is written, and when that was cut short."""
UNFINISHED = "unfinished"
"""Note: not empty from the first row that is written until the indices are built."""


class Stamp(NamedTuple):
    """What the file system says of a file; as long as it stays, the content is taken to be the same.

    `ctime_ns` catches what keeps the time of modification: a copy with its times, another owner or mode.
    """

    size: int
    mtime_ns: int
    ctime_ns: int


class FileRecord(NamedTuple):
    """A file in the manifest.

    Attributes:
        stamp: of the file when it was read.
        hash: of the content that was done last, see `work.content_hash`; of a file that failed, `work.unread_hash`;
            empty when there was none.
        state: ``pending``, ``done`` or ``failed``.
        reason: why it failed.
        groups: node group -> (fingerprint of the group's recipe, number of nodes); empty while it is pending.
    """

    stamp: Stamp
    hash: str
    state: str
    reason: str = ""
    groups: Mapping[str, tuple[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A node group in the manifest, with the values that its rows were made of."""

    fingerprint: str
    values: Mapping[str, Any]


class Manifest:
    """The open manifest. Safe for threads; other processes may read it at any time.

    Args:
        path: the SQLite file.
        create: make it when it does not exist.

    Raises:
        UserError: it was written by a newer confrag.
        sqlite3.Error: it is damaged, or cannot be opened.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._guard = threading.RLock()
        uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        self._database = sqlite3.connect(uri, uri=True, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            self._inode = path.stat().st_ino
            self._open(create)
        except BaseException:
            self._database.close()
            raise

    def _open(self, create: bool) -> None:
        version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
        if version > _VERSION:
            raise UserError(
                f"{self.path} was written by a newer confrag (version {version}, this one knows {_VERSION}). "
                "Update confrag, or use another state_dir"
            )
        if create:
            # Full: what is recorded as done must not be ahead of the store after a power cut, nor lost itself.
            self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_SCHEMA}")
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
        elif version < _VERSION:
            raise sqlite3.DatabaseError("it is empty")

    def replaced(self) -> bool:
        """Whether the file was removed, or another one is in its place."""
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._database.close()

    def files(self) -> dict[str, FileRecord]:
        """Every file, by name."""
        groups: dict[str, dict[str, tuple[str, int]]] = {}
        with self._reading() as database:
            for name, group, fingerprint, nodes in database.execute("SELECT * FROM rows"):
                groups.setdefault(name, {})[group] = (fingerprint, nodes)
            return {
                name: FileRecord(Stamp(size, mtime, ctime), digest, state, reason, groups.get(name, {}))
                for name, size, mtime, ctime, digest, state, reason in database.execute("SELECT * FROM files")
            }

    def said(self) -> dict[str, dict[str, Any]]:
        """Metadata of the files that are done, by name, before what was edited at run time."""
        with self._reading() as database:
            rows = database.execute("SELECT file, metadata FROM said").fetchall()
        return {name: json.loads(metadata) for name, metadata in rows}

    def groups(self) -> dict[str, GroupRecord]:
        """Every node group, by name."""
        with self._reading() as database:
            rows = database.execute("SELECT name, fingerprint, recipe FROM groups").fetchall()
        return {name: GroupRecord(fingerprint, json.loads(recipe)) for name, fingerprint, recipe in rows}

    def counts(self) -> dict[str, int]:
        """Node group -> number of nodes of the files that are done."""
        with self._reading() as database:
            return dict(database.execute("SELECT node_group, sum(nodes) FROM rows GROUP BY node_group").fetchall())

    def pending(self) -> bool:
        """Whether a write has begun that is not over."""
        with self._reading() as database:
            return database.execute("SELECT 1 FROM files WHERE state = 'pending' LIMIT 1").fetchone() is not None

    def version(self) -> str:
        """Fingerprint of the names and contents of the files that are done, 12 hexadecimal digits."""
        digest = hashlib.sha256()
        with self._reading() as database:
            for name, content in database.execute("SELECT name, hash FROM files WHERE state = 'done' ORDER BY name"):
                digest.update(f"{name}\0{content}\0".encode())
        return digest.hexdigest()[:12]

    def data_version(self) -> int:
        """A number that changes whenever another process has written."""
        with self._guard:
            return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def get(self, key: str) -> str | None:
        """A note of the collection's; None when there is none of this name."""
        with self._reading() as database:
            row = database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def put(self, key: str, value: str) -> None:
        """Make a note."""
        with self._writing() as database:
            database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def begin(self, files: Mapping[str, Stamp]) -> None:
        """These files are about to be written, or removed."""
        with self._writing() as database:
            # The hash of a file that was done before stays: it tells a changed file from a new one.
            database.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?, '', 'pending', '') "
                "ON CONFLICT (name) DO UPDATE SET state = 'pending', reason = ''",
                [(name, s.size, s.mtime_ns, s.ctime_ns) for name, s in files.items()],
            )
            database.executemany("DELETE FROM rows WHERE file = ?", [(name,) for name in files])

    def settle(
        self,
        files: Mapping[str, FileRecord],
        removed: Iterable[str] = (),
        said: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """These files are done or failed, and those are gone; all at once.

        Args:
            files: by name.
            removed: names.
            said: name -> metadata of the file, before what was edited at run time.
        """
        with self._writing() as database:
            names = [(name,) for name in (*files, *removed)]
            database.executemany("DELETE FROM rows WHERE file = ?", names)
            database.executemany("DELETE FROM said WHERE file = ?", names)
            database.executemany(
                "INSERT INTO said VALUES (?, ?)",
                [(name, json.dumps(dict(metadata), ensure_ascii=False)) for name, metadata in said.items()],
            )
            database.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in removed])
            database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (name, r.stamp.size, r.stamp.mtime_ns, r.stamp.ctime_ns, r.hash, r.state, r.reason)
                    for name, r in files.items()
                ],
            )
            database.executemany(
                "INSERT INTO rows VALUES (?, ?, ?, ?)",
                [
                    (name, group, fingerprint, nodes)
                    for name, record in files.items()
                    for group, (fingerprint, nodes) in record.groups.items()
                ],
            )

    def touch(self, stamps: Mapping[str, Stamp]) -> None:
        """The same contents, with new stamps."""
        with self._writing() as database:
            database.executemany(
                "UPDATE files SET size = ?, mtime_ns = ?, ctime_ns = ? WHERE name = ?",
                [(s.size, s.mtime_ns, s.ctime_ns, name) for name, s in stamps.items()],
            )

    def drop_group(self, group: str) -> None:
        """Nothing of a group counts any more; its rows in the store may be deleted after this."""
        with self._writing() as database:
            database.execute("DELETE FROM rows WHERE node_group = ?", (group,))
            database.execute("DELETE FROM groups WHERE name = ?", (group,))

    def add_group(self, group: str, record: GroupRecord) -> None:
        """A group is about to be filled."""
        with self._writing() as database:
            recipe = json.dumps(dict(record.values), ensure_ascii=False, sort_keys=True)
            database.execute("INSERT OR REPLACE INTO groups VALUES (?, ?, ?)", (group, record.fingerprint, recipe))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        # One state for several queries: another process may write between them.
        with self._guard:
            self._database.execute("BEGIN")
            try:
                yield self._database
            finally:
                self._database.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
