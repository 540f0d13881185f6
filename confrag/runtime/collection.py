"""A collection: the stored rows of a plan, brought in line with its corpus."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lazyllm.tools.rag import Document

from confrag.build.document import build_document, build_store_conf, build_transforms
from confrag.build.private import close as close_document
from confrag.build.private import count, count_vectors, forget
from confrag.build.progress import ProgressFn
from confrag.errors import ConfragError, ServiceError, StoreError, UserError
from confrag.plan.compile import store_of_rows
from confrag.plan.model import Plan, canonical
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.corpus import Scan
from confrag.runtime.fingerprints import recipes
from confrag.runtime.ingest import Ingest, find_files
from confrag.runtime.lock import Lock
from confrag.runtime.manifest import Manifest
from confrag.runtime.places import claim, collection_dir, named_places, own_place, owned
from confrag.runtime.results import CorpusReport, FailedFile
from confrag.runtime.siblings import MANIFEST, adopt, identity, manifest_in, nearest_sibling
from confrag.runtime.work import Work, build_all, find_work

if TYPE_CHECKING:
    from confrag.build.indices.lexical import LexicalIndex

__all__ = ["Collection"]

_log = logging.getLogger("confrag")
_SHARED = ("confrag_map", "confrag_segments", "confrag_chroma")
"""Stores whose files several processes may have open."""


class Collection:
    """The rows of a plan.

    Attributes:
        document: LazyLLM's, while the collection is open.
        lexical: the index over words, if a retriever asks one.

    Args:
        plan: what is stored, and where.
        embedders: by name; those that need a model load it when they are first asked.
    """

    document: Document
    lexical: LexicalIndex | None

    def __init__(self, plan: Plan, embedders: Mapping[str, CachedEmbedder]) -> None:
        self._plan = plan
        self._embedders = embedders
        self._recipes = recipes(plan)
        self._directory = collection_dir(plan)
        self._conf = build_store_conf(plan, self._directory)
        self._places = named_places(self._conf, self._directory)
        self._alone = _belongs_to_one_process(self._conf)
        self._lock = Lock([self._directory, *self._places], plan.lock_timeout_s, _log.warning, self._alone)
        self._transforms = build_transforms(plan.groups)
        self._manifest: Manifest | None = None
        self._opened = False
        self._seen = 0

    def work(self) -> Work:
        """What is to do, as far as can be told without opening the store.

        Raises:
            UserError: a corpus that cannot be used.
        """
        return self._work(find_files(self._plan.corpus))

    def open(self, progress: ProgressFn, told: Callable[[Work], None]) -> CorpusReport:
        """Open the store and bring its rows in line with the corpus.

        Args:
            progress: told how far it has got.
            told: called once with what is to be done, before it is done.

        Raises:
            UserError: a corpus or place on disk that cannot be used, or another process that holds it.
            ServiceError: a server that does not answer.
            StoreError: the store could not be written.
        """
        try:
            return self.update(progress, told)
        except BaseException:
            self.close()
            raise

    def update(self, progress: ProgressFn, told: Callable[[Work], None]) -> CorpusReport:
        """Bring the rows in line with the corpus once more. Raises what `open` does."""
        found = find_files(self._plan.corpus)
        work = self._work(found)
        if self._alone or not work.nothing:
            self._lock.acquire()
            # Another process may have done it meanwhile.
            work = self._work(found, begin=True)
        try:
            return self._update(found, work, progress, told)
        finally:
            if not self._alone:
                self._lock.release()

    def close(self) -> None:
        """Close the store and let others have it. May be called more than once."""
        self._close_store()
        self._lock.release()

    def refresh(self) -> bool:
        """Notice that another process has written; indices in memory are then read anew. Returns whether it has."""
        assert self._manifest is not None
        seen = self._manifest.data_version()
        if seen == self._seen:
            return False
        self._seen = seen
        forget(self.document)
        return True

    def _work(self, found: Scan, *, begin: bool = False) -> Work:
        """What is to do. To begin with it needs the lock: a new collection may start as a copy of another one."""
        if not owned(self._directory, self._places):
            return build_all(found, self._recipes, "nothing is stored yet", {})
        if not self._directory.exists() and not own_place(self._plan):
            return self._work_of_new(found, begin=begin)
        with manifest_in(self._directory) as manifest:
            if manifest is None:
                return build_all(found, self._recipes, "nothing is stored yet", {})
            if manifest.get("store") != self._store:
                return build_all(found, self._recipes, "store_conf changed", {})
            return find_work(found, manifest, self._recipes)

    def _work_of_new(self, found: Scan, *, begin: bool) -> Work:
        sibling = nearest_sibling(self._directory, self._recipes, identity(self._plan))
        if sibling is None:
            return build_all(found, self._recipes, "nothing is stored yet", {})
        copied = bool(sibling.shared) and (not begin or adopt(sibling, self._directory))
        with manifest_in(sibling.directory) as manifest:
            if manifest and copied:
                return find_work(found, manifest, self._recipes)
            stored = manifest.groups() if manifest else {}
            return build_all(found, self._recipes, "nothing is stored yet in this configuration", stored)

    @property
    def _store(self) -> str:
        return canonical(store_of_rows(self._plan.store))

    def _update(self, found: Scan, work: Work, progress: ProgressFn, told: Callable[[Work], None]) -> CorpusReport:
        if not work.fresh and not self._opened and (damage := self._try()):
            self._close_store()
            self._lock.acquire()
            _log.warning("%s: %s; it is built again from the corpus", self._directory, damage)
            work = build_all(found, self._recipes, damage, {})
        if work.fresh:
            if self._opened:
                raise StoreError(f"{self._directory}: it was removed while it was open; close it, and start again")
            claim(self._directory, self._places)
            self._open_manifest()
            self._open_store()
        assert self._manifest is not None
        told(work)
        if not work.nothing:
            ingest = Ingest(
                self._plan,
                self._recipes,
                self._manifest,
                self.document,
                self._embedders,
                self._transforms,
                progress,
            )
            ingest.run(work)
            if damage := self._damage():
                raise StoreError(f"{self._directory}: {damage}, though all were written; ingest again")
        elif work.touched:
            self._manifest.touch(work.touched)
        self._seen = self._manifest.data_version()
        return self._report(found, work)

    def _try(self) -> str | None:
        """Open what is stored; what is wrong with it, or None."""
        try:
            self._open_manifest()
            self._open_store()
            return self._damage()
        except (UserError, ServiceError):
            raise
        except (ConfragError, sqlite3.Error, OSError) as error:
            return str(error)

    def _open_manifest(self) -> None:
        self._manifest = Manifest(self._directory / MANIFEST, create=True)
        for key, value in {"identity": identity(self._plan), "store": self._store}.items():
            if self._manifest.get(key) != value:
                self._manifest.put(key, value)

    def _open_store(self) -> None:
        self.document, self.lexical = build_document(self._plan, self._conf, self._embedders, self._transforms)
        self._opened = True

    def _close_store(self) -> None:
        if self._opened:
            self._opened = False
            close_document(self.document)
        if self._manifest is not None:
            self._manifest.close()
            self._manifest = None

    def _damage(self) -> str | None:
        """Where the store does not hold what the manifest says; None while a write that was cut short is to be done."""
        assert self._manifest is not None
        if self._manifest.pending():
            return None
        counts = self._manifest.counts()
        for group in self._recipes:
            expected, stored = counts.get(group, 0), count(self.document, group)
            if stored != expected:
                return f"the store holds {stored:,} of {expected:,} nodes of '{group}'"
        for plan in self._plan.groups:
            expected = counts.get(plan.name, 0) if plan.embed else 0
            stored = count_vectors(self.document, plan.name)
            if stored != expected:
                return f"the store holds {stored:,} of {expected:,} vectors of '{plan.name}'"
        return None

    def _report(self, found: Scan, work: Work) -> CorpusReport:
        assert self._manifest is not None
        records = self._manifest.files()
        failed = {name: record.reason for name, record in records.items() if record.state == "failed"}
        if failed and self._plan.corpus.on_error == "fail":
            name, reason = next(iter(failed.items()))
            raise UserError(f"{name}: {reason} (corpus.on_error=fail)")
        if len(failed) == len(records):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:3])
            raise UserError(f"corpus.path: no file could be read ({reasons})")
        counts = self._manifest.counts()
        return CorpusReport(
            version=self._manifest.version(),
            files=len(found.files),
            added=sum(name not in failed for name in work.added),
            changed=sum(name not in failed for name in work.changed),
            removed=len(work.removed),
            unchanged=len(work.unchanged),
            failed=(
                *(FailedFile(skipped.name, skipped.reason) for skipped in found.skipped),
                *(FailedFile(name, reason) for name, reason in sorted(failed.items())),
            ),
            nodes={group.name: counts.get(group.name, 0) for group in self._plan.groups},
            embedded=sum(embedder.computed for embedder in self._embedders.values()),
            embedding_cache_hits=sum(embedder.hits for embedder in self._embedders.values()),
        )


def _belongs_to_one_process(conf: Mapping[str, Any]) -> str:
    """Why nobody else can have the store open; empty when others can."""
    for part in (conf, conf.get("segment_store"), conf.get("vector_store")):
        kind, kwargs = (part.get("type"), part.get("kwargs") or {}) if part else (None, {})
        if kind is None or kind in _SHARED or "://" in str(kwargs.get("uri")):
            continue
        if kind == "confrag_milvus":
            return "Milvus Lite's files belong to one process at a time; a Milvus server has no such limit"
        return f"The files of a store of type '{kind}' are taken to belong to one process at a time"
    return ""
