"""From files to rows in the store: read, cut, embed, write; then remove what the rows replace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from lazyllm.tools.rag import DocNode, Document, NodeTransform

from confrag.build.nodes import document_id, make_nodes
from confrag.build.private.store import (
    delete_documents,
    delete_nodes,
    drop_group,
    finish,
    persist,
    stored_uids,
    write_nodes,
)
from confrag.build.progress import ProgressFn
from confrag.build.readers import read
from confrag.build.readers.section import Section, UnreadableFileError
from confrag.errors import UserError
from confrag.plan.model import CorpusPlan, Plan, thaw, written_groups
from confrag.runtime.asking import Asker
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.corpus import SourceFile
from confrag.runtime.fingerprints import GroupRecipe
from confrag.runtime.manifest import SEAL, UNFINISHED, FileRecord, GroupRecord, Manifest, Stamp
from confrag.runtime.metadata import known_of
from confrag.runtime.work import FileWork, Work, content_hash, stamp_of, unread_hash
from confrag.runtime.written import Made, add_written
from confrag.schema.doc_fields import Value

__all__ = ["WINDOW", "WINDOW_WHILE_ASKED", "Ingest", "read_file"]

WINDOW = 4096
"""Nodes that are held before they are embedded and written, at most a file more."""
WINDOW_WHILE_ASKED = 256
"""The same while questions are asked, which wait for a window that is written."""
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of a file, with the stamp and hash of just that content, and what is known of it (`Known`)."""

    stamp: Stamp
    hash: str
    sections: Sequence[Section]
    fields: Mapping[str, Value]
    said: Mapping[str, Any]


def read_file(file: SourceFile, corpus: CorpusPlan) -> Content:
    """Read a file whose content stays the same meanwhile; one that changes is read again, three times at most.

    Raises:
        UnreadableFileError: it cannot be read, or never stays the same.
    """
    for _ in range(_ATTEMPTS):
        try:
            before, digest = _now(file)
            known = known_of(file, read(file.path, corpus.readers), corpus.doc_fields)
            if _now(file) == (before, digest):
                return Content(before, digest, known.sections, known.fields, known.said)
        except OSError as error:
            raise UnreadableFileError(file.path, error.strerror or str(error)) from None
    raise UnreadableFileError(file.path, "it changes while it is read; it is read again at the next start")


def _now(file: SourceFile) -> tuple[Stamp, str]:
    return stamp_of(file.location, file.sidecar), content_hash(file.location, file.sidecar, file.said)


@dataclass
class _Window:
    """Files whose nodes are written together. `made` has all nodes of each file, `nodes` those to be written."""

    works: list[FileWork] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    nodes: dict[str, list[DocNode]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.nodes.values()))

    def all_nodes(self) -> Iterator[DocNode]:
        for members in self.nodes.values():
            yield from members


class Ingest:
    """Does the work, once. Whatever ends it early, the next one ends in the same rows as if nothing had happened.

    Args:
        plan: of the collection.
        recipes: of its node groups.
        manifest: of the collection, which must be locked for this process.
        document: open, with its groups.
        embedders: by name.
        transforms: by group.
        askers: by group, of those that a model writes.
        progress: told of the stages ``read``, ``ask GROUP``, ``embed`` and ``index``.
        changing: entered while rows are being changed: no question is searched for inside.
        window: nodes that are written at once.
    """

    def __init__(
        self,
        plan: Plan,
        recipes: Mapping[str, GroupRecipe],
        manifest: Manifest,
        document: Document,
        embedders: Mapping[str, CachedEmbedder],
        transforms: Mapping[str, NodeTransform],
        askers: Mapping[str, Asker],
        progress: ProgressFn,
        changing: Callable[[], AbstractContextManager[None]] = nullcontext,
        window: int = WINDOW,
    ) -> None:
        self._plan = plan
        self._changing = changing
        self._size = window
        self._written = written_groups(plan.groups)
        self._cut = tuple(group for group in plan.groups if group not in self._written)
        self._askers = askers
        self._recipes = recipes
        self._manifest = manifest
        self._document = document
        self._embedders = embedders
        self._transforms = transforms
        self._progress = progress
        self._embedded = 0
        self._to_embed = 0
        self._records: dict[str, FileRecord] = {}
        self._said: dict[str, Mapping[str, Any]] = {}

    def run(self, work: Work) -> dict[str, FileRecord]:
        """Bring the rows in line with the corpus; returns what the manifest now says of the files that were read.

        Raises:
            UserError: with ``corpus.on_error=fail``, the first file that cannot be read; a model may not be called any
                more.
            ServiceError: a model gives no answer.
            StoreError: the store could not be written.
        """
        for asker in self._askers.values():
            asker.begin()
        self._manifest.put(SEAL, "")
        self._manifest.put(UNFINISHED, "yes")
        self._rebuild(work)
        window = _Window()
        for number, entry in enumerate(work.files, start=1):
            self._add(entry, window)
            self._progress("read", number, len(work.files))
            if len(window) >= self._size:
                self._write(window)
                window = _Window()
        self._write(window)
        gone = {name: work.records[name].stamp for name in work.removed}
        gone |= {name: record.stamp for name, record in self._records.items() if record.state == "failed"}
        with self._changing():
            self._manifest.begin(gone)
            delete_documents(self._document, [document_id(name) for name in gone])
        self._progress("index", 0, 1)
        finish(self._document)
        failed = {name: record for name, record in self._records.items() if record.state == "failed"}
        self._manifest.settle(failed, work.removed)
        self._manifest.put(UNFINISHED, "")
        self._progress("index", 1, 1)
        for asker in self._askers.values():
            asker.end()
        return self._records

    def _rebuild(self, work: Work) -> None:
        """Empty the groups that are built anew; their files are then read as if they had no rows in them."""
        for group in work.dropped:
            # The manifest comes last: it alone knows of a group that nobody declares any more.
            drop_group(self._document, group)
            self._manifest.drop_group(group)
        for entry in work.groups:
            self._manifest.drop_group(entry.recipe.group)
            drop_group(self._document, entry.recipe.group)
            self._manifest.add_group(entry.recipe.group, GroupRecord(entry.recipe.fingerprint, entry.recipe.values))

    def _add(self, work: FileWork, window: _Window) -> None:
        """Read a file and cut it into nodes; one that cannot be read is noted as failed."""
        name, corpus = work.file.name, self._plan.corpus
        made = {group: recipe.fingerprint for group, recipe in self._recipes.items()}
        # Before it is read: what changes from now on is another file for the next start.
        stamp = _stamp(work)
        try:
            content = read_file(work.file, corpus)
        except UnreadableFileError as error:
            if corpus.on_error == "fail":
                raise UserError(f"{name}: {error.reason} (corpus.on_error=fail)") from None
            failed = {group: (fingerprint, 0) for group, fingerprint in made.items()}
            self._records[name] = FileRecord(stamp, unread_hash(work.file.said), "failed", error.reason, failed)
            return
        nodes = make_nodes(name, work.file.location, content.sections, self._cut, self._transforms, content.fields)
        if work.before is None or content.hash != work.before.hash:
            # It may have changed after it was compared.
            work = replace(work, groups=tuple(self._recipes))
        for group in work.groups:
            window.nodes.setdefault(group, []).extend(nodes.get(group, ()))
        window.works.append(work)
        window.made.append(nodes)
        counts = {group: (made[group], len(members)) for group, members in nodes.items()}
        self._records[name] = FileRecord(content.stamp, content.hash, "done", groups=counts)
        self._said[name] = content.said

    def _write(self, window: _Window) -> None:
        """Embed and write the nodes of a window; what its files had before goes when the new rows are there."""
        if not window.works:
            return
        self._ask(window)
        self._embed(window)
        with self._changing():
            self._change(window)

    def _change(self, window: _Window) -> None:
        self._manifest.begin({work.file.name: self._records[work.file.name].stamp for work in window.works})
        write_nodes(self._document, list(window.all_nodes()))
        for group in self._recipes:
            # Also of a file that was never done: a killed process may have written another content of it.
            known = [document_id(work.file.name) for work in window.works if work.before and group in work.groups]
            if known:
                new = {node.uid for node in window.nodes.get(group, ())}
                old = stored_uids(self._document, group, known)
                delete_nodes(self._document, group, [uid for uid in old if uid not in new])
        persist(self._document)
        names = [work.file.name for work in window.works]
        self._manifest.settle(
            {name: self._records[name] for name in names}, said={name: self._said[name] for name in names}
        )

    def _ask(self, window: _Window) -> None:
        """Make the nodes that a model writes, and those that are cut from them, where they are to be written."""
        if not self._written:
            return
        files = [
            (work.groups, made, thaw(work.file.edits).get("pairs", {}))
            for work, made in zip(window.works, window.made, strict=True)
        ]
        add_written(
            self._written,
            files,
            self._transforms,
            lambda group, texts: self._askers[group.name].replies(texts, self._progress),
        )
        fingerprints = {group.name: self._recipes[group.name].fingerprint for group in self._written}
        for work, made in zip(window.works, window.made, strict=True):
            for name in fingerprints.keys() & set(work.groups):
                window.nodes[name].extend(made[name])
            record = self._records[work.file.name]
            before = work.before.groups if work.before else {}
            # Of a group that is as it was, the rows stay.
            counts = {
                name: (fingerprint, len(made[name])) if name in work.groups else before[name]
                for name, fingerprint in fingerprints.items()
            }
            groups = {**record.groups, **counts}
            self._records[work.file.name] = FileRecord(record.stamp, record.hash, record.state, groups=groups)

    def _embed(self, window: _Window) -> None:
        work = [(group, key) for group in self._plan.groups for key in group.embed if window.nodes.get(group.name)]
        self._to_embed += sum(len(window.nodes[group.name]) for group, _ in work)
        vectors: dict[str, dict[str, object]] = {}
        for group, key in work:
            nodes = window.nodes[group.name]

            def report(stage: str, done: int, total: int, base: int = self._embedded) -> None:
                self._progress("embed", base + done, self._to_embed)

            embedded = self._embedders[key].passages([node.text for node in nodes], report)
            for node, vector in zip(nodes, embedded, strict=True):
                vectors.setdefault(node.uid, {})[key] = vector
            self._embedded += len(nodes)
            self._progress("embed", self._embedded, self._to_embed)
        for node in window.all_nodes():
            if node.uid in vectors:
                node.embedding = vectors[node.uid]


def _stamp(work: FileWork) -> Stamp:
    try:
        return stamp_of(work.file.location, work.file.sidecar)
    except OSError:
        return Stamp(-1, -1, -1)
