"""What is to do: the corpus and the configuration, compared with the manifest."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confrag.plan.model import Params, canonical
from confrag.runtime.corpus import Scan, SourceFile
from confrag.runtime.fingerprints import GroupRecipe
from confrag.runtime.manifest import UNFINISHED, FileRecord, GroupRecord, Manifest, Stamp

__all__ = ["FileWork", "GroupWork", "Work", "build_all", "content_hash", "find_work", "stamp_of", "unread_hash"]

_RACY_NS = 2_000_000_000
"""The coarsest clock of a file system: a file this young may change once more without another time."""
_UNKNOWN = -1
_NOTHING = Params()


@dataclass(frozen=True, slots=True)
class FileWork:
    """A file that is to be read: its rows of `groups` are written, what it had of them before goes."""

    file: SourceFile
    groups: tuple[str, ...]
    before: FileRecord | None

    @property
    def changed(self) -> bool:
        """Whether rows of an earlier content of it were stored; otherwise it is a new file."""
        return self.before is not None and bool(self.before.hash.partition("-")[0])


@dataclass(frozen=True, slots=True)
class GroupWork:
    """A node group that is built as a whole, and why; a new collection has no reasons."""

    recipe: GroupRecipe
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that separates the store from the corpus and the configuration.

    Attributes:
        fresh: why the collection is built from nothing; None: it is not.
        files: to be read, in the order of their names.
        groups: to be built again.
        added, changed, removed, unchanged: names of files. A file that is only read because a group is built again
            is unchanged.
        dropped: groups that the configuration does not use any more.
        failed: name -> reason, of files that could not be read before and are as they were.
        touched: files with another stamp and the same content.
        records: what the manifest holds.
        unfinished: an ingest was cut short, and the indices are to be built.
    """

    fresh: str | None = None
    files: tuple[FileWork, ...] = ()
    groups: tuple[GroupWork, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    touched: Mapping[str, Stamp] = field(default_factory=dict)
    records: Mapping[str, FileRecord] = field(default_factory=dict)
    unfinished: bool = False

    @property
    def nothing(self) -> bool:
        """Whether the store is up to date."""
        return not (self.fresh or self.files or self.groups or self.removed or self.dropped or self.unfinished)


def build_all(found: Scan, wanted: Mapping[str, GroupRecipe], reason: str, stored: Mapping[str, GroupRecord]) -> Work:
    """Build a collection from nothing.

    Args:
        found: the files of the corpus.
        wanted: the recipes of the node groups.
        reason: why.
        stored: the groups of a collection to compare with, as far as there is one.
    """
    reasons = {group.recipe.group: group.reasons for group in _groups(wanted, stored)} if stored else {}
    return Work(
        fresh=reason,
        files=tuple(FileWork(file, tuple(wanted), None) for file in found.files),
        groups=tuple(GroupWork(recipe, reasons.get(name, ())) for name, recipe in wanted.items()),
        added=tuple(file.name for file in found.files),
    )


def find_work(found: Scan, manifest: Manifest, wanted: Mapping[str, GroupRecipe], again: Collection[str] = ()) -> Work:
    """Compare with what is stored. Content is read only of files whose stamp differs.

    Args:
        found: the files of the corpus.
        manifest: of the collection.
        wanted: the recipes of the node groups.
        again: names of files that are to be read in any case.
    """
    records, stored = manifest.files(), manifest.groups()
    comparison = _Comparison(records, wanted, again)
    for file in found.files:
        comparison.add(file)
    present = {file.name for file in found.files}
    return Work(
        files=tuple(comparison.files),
        groups=tuple(_groups(wanted, stored)),
        added=tuple(comparison.added),
        changed=tuple(comparison.changed),
        removed=tuple(sorted(records.keys() - present)),
        unchanged=tuple(comparison.unchanged),
        dropped=tuple(sorted(stored.keys() - wanted.keys())),
        failed=comparison.failed,
        touched=comparison.touched,
        records=records,
        unfinished=bool(manifest.get(UNFINISHED)),
    )


def _groups(wanted: Mapping[str, GroupRecipe], stored: Mapping[str, GroupRecord]) -> list[GroupWork]:
    found: dict[str, GroupWork] = {}
    for name, recipe in wanted.items():
        before = stored.get(name)
        if before is None:
            found[name] = GroupWork(recipe, (f"node_groups.{name} is new",))
        elif before.fingerprint != recipe.fingerprint:
            # Nothing of its own: what changed is above, and so a group that is built again, too.
            own = recipe.reasons(before.values)
            found[name] = GroupWork(recipe, own or found[str(recipe.parent)].reasons)
    return list(found.values())


class _Comparison:
    """File by file."""

    def __init__(
        self, records: Mapping[str, FileRecord], wanted: Mapping[str, GroupRecipe], again: Collection[str]
    ) -> None:
        self.files: list[FileWork] = []
        self.added: list[str] = []
        self.changed: list[str] = []
        self.unchanged: list[str] = []
        self.failed: dict[str, str] = {}
        self.touched: dict[str, Stamp] = {}
        self._records = records
        self._again = frozenset(again)
        self._wanted = {name: recipe.fingerprint for name, recipe in wanted.items()}

    def add(self, file: SourceFile) -> None:
        record = self._records.get(file.name)
        lacking = () if record is None else tuple(name for name in self._wanted if self._lacks(record, name))
        again = file.name in self._again
        if record is None or record.state == "pending" or again or not self._same(file, record):
            self._read(file, record)
        elif record.state == "done":
            self.unchanged.append(file.name)
            if lacking:
                self.files.append(FileWork(file, lacking, record))
        elif lacking:
            self._read(file, record)
        else:
            self.failed[file.name] = record.reason

    def _read(self, file: SourceFile, record: FileRecord | None) -> None:
        work = FileWork(file, tuple(self._wanted), record)
        (self.changed if work.changed else self.added).append(file.name)
        self.files.append(work)

    def _lacks(self, record: FileRecord, group: str) -> bool:
        made, _ = record.groups.get(group, (None, 0))
        return made != self._wanted[group]

    def _same(self, file: SourceFile, record: FileRecord) -> bool:
        try:
            if _mark(file.said) != record.hash.partition("-")[2]:
                return False  # the configuration says something else of it
            stamp = stamp_of(file.location, file.sidecar)
            if stamp == record.stamp and stamp.mtime_ns != _UNKNOWN:
                return True
            # Another time, and perhaps the same content; of a file that could not be read there is none to compare.
            if record.state == "failed" or content_hash(file.location, file.sidecar, file.said) != record.hash:
                return False
        except OSError:
            return False  # it is read as a changed one, which says what is wrong with it
        self.touched[file.name] = stamp
        return True


def stamp_of(path: str, sidecar: str = "") -> Stamp:
    """What the file system says of a file now; with one that describes it, the sums of both.

    A file that was modified just now has no time that could be relied on, so that its content is looked at once more.

    Raises:
        OSError: it cannot be asked.
    """
    own = os.stat(path)  # noqa: PTH116 (of ten thousand files)
    beside = [os.stat(sidecar)] if sidecar else []  # noqa: PTH116
    size, mtime_ns, ctime_ns = own.st_size, own.st_mtime_ns, own.st_ctime_ns
    latest = max(mtime_ns, ctime_ns)
    for status in beside:
        size, mtime_ns, ctime_ns = size + status.st_size, mtime_ns + status.st_mtime_ns, ctime_ns + status.st_ctime_ns
        latest = max(latest, status.st_mtime_ns, status.st_ctime_ns)
    young = time.time_ns() - latest < _RACY_NS
    return Stamp(size, _UNKNOWN if young else mtime_ns, ctime_ns)


def content_hash(path: str, sidecar: str = "", given: Params = _NOTHING) -> str:
    """SHA-256 of a file's content; with a file that describes it, of both.

    Args:
        path: the file.
        sidecar: the file that describes it, if any.
        given: what else is said of it (`SourceFile.said`); if anything, its digest comes behind, with a hyphen.

    Raises:
        OSError: it cannot be read.
    """
    digest = _digest(Path(path).read_bytes())
    if sidecar:
        digest = _digest(f"{digest}{Path(sidecar).suffix}{_digest(Path(sidecar).read_bytes())}".encode())
    return f"{digest}-{_mark(given)}" if given else digest


def unread_hash(given: Params) -> str:
    """What stands for `content_hash` of a file that could not be read: only what else is said of it."""
    return f"-{_mark(given)}" if given else ""


def _mark(given: Params) -> str:
    """What tells one set of metadata from another; empty for none."""
    return _digest(canonical(given).encode())[:16] if given else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
