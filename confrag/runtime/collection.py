"""A collection: the stored rows of a plan, brought in line with its corpus."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from types import MappingProxyType

from lazyllm.tools.rag import DocNode, Document

from confrag.build.document import build_document, build_store_conf, build_transforms
from confrag.build.indices.own import Lasting
from confrag.build.private.store import close as close_document
from confrag.build.private.store import refresh as refresh_document
from confrag.build.private.stored_nodes import StoredNodes
from confrag.build.progress import ProgressFn
from confrag.build.stores.integrity import seal, torn
from confrag.errors import ConfragError, ServiceError, StoreError, UserError
from confrag.plan.model import Plan
from confrag.runtime.asking import Asker
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.census import Effort, as_it_is, damage, effort, report_of
from confrag.runtime.corpus import Scan
from confrag.runtime.disk import is_full, telling_of_a_full_disk
from confrag.runtime.ingest import WINDOW, WINDOW_WHILE_ASKED, Ingest
from confrag.runtime.inventory import Inventory
from confrag.runtime.lock import Lock
from confrag.runtime.manifest import SEAL, UNFINISHED, FileRecord, Manifest
from confrag.runtime.overlay import Overlay
from confrag.runtime.places import belongs_to_one_process, claim, collection_dir, named_places
from confrag.runtime.results import CorpusReport
from confrag.runtime.row_state import RowState
from confrag.runtime.siblings import MANIFEST, identity, manifest_in
from confrag.runtime.work import Work, build_all

__all__ = ["INDICES", "Collection"]

INDICES = "indices"
"""Folder of a collection where indices beside the store are kept."""

_log = logging.getLogger("confrag")
_CHANGED = "files of the store are not as they were when it was closed"


class Collection:
    """The rows of a plan.

    Attributes:
        document: LazyLLM's, while the collection is open.
        gate: closed while rows are being changed.
        inventory: of the corpus, beside what is stored.

    Args:
        plan: what is stored, and where.
        overlay: what was changed of the corpus at run time.
        embedders: by name; those that need a model load it when they are first asked.
        askers: by node group, of those that a chat model writes; the same holds for their models.
        may_be_empty: it is no error when the corpus has no document.
    """

    document: Document

    def __init__(
        self,
        plan: Plan,
        overlay: Overlay,
        embedders: Mapping[str, CachedEmbedder] = MappingProxyType({}),
        askers: Mapping[str, Asker] | None = None,
        *,
        may_be_empty: bool = False,
    ) -> None:
        self._plan = plan
        self._overlay = overlay
        self._embedders = embedders
        self._askers = askers or {}
        self._directory = collection_dir(plan)
        self._conf = build_store_conf(plan, self._directory)
        self._places = named_places(self._conf, self._directory)
        self.inventory = Inventory(
            plan, overlay, self._directory, self._places, self._looking, may_be_empty=may_be_empty
        )
        self._recipes = self.inventory.recipes
        self._rows = RowState()
        self.gate = self._rows.gate
        self._alone = belongs_to_one_process(self._conf)
        self._lock = Lock([self._directory, *self._places], plan.lock_timeout_s, _log.warning, self._alone)
        self._transforms = build_transforms(plan.groups)
        self._indices: Sequence[Lasting] = ()
        self._manifest: Manifest | None = None
        self._beside: Manifest | None = None
        self._opened = False
        self._unsealed = False
        self._cut_short = False
        self._seen = self._reported = 0
        self._before = Effort()
        self._alone_at_work = threading.Lock()
        self._at_work = False

    def work(self) -> Work:
        """What is to do, as far as can be told without opening the store.

        Raises:
            UserError: a corpus that cannot be used.
        """
        return self.inventory.work(self.inventory.find())

    def records(self) -> dict[str, FileRecord]:
        """What is stored, by name of the file."""
        assert self._manifest is not None
        return self._manifest.files()

    def nodes_of(self, group: str, document: str, numbers: Sequence[int]) -> list[DocNode]:
        """The stored nodes of a group with these numbers in a document, in their order."""
        with self.gate.reading():
            nodes = StoredNodes(self.document).numbered(group, document, numbers)
        return sorted(nodes, key=lambda node: int(node.number))

    def node(self, group: str, uid: str) -> DocNode | None:
        """A stored node, None when there is none of this id."""
        with self.gate.reading():
            return StoredNodes(self.document).node(group, uid)

    @property
    def is_open(self) -> bool:
        """Whether nodes can be read."""
        return self._opened

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

    def update(self, progress: ProgressFn, told: Callable[[Work], None], again: Sequence[str] = ()) -> CorpusReport:
        """Bring the rows in line with the corpus once more, one call after the other. Raises what `open` does.

        Args:
            progress: told how far it has got.
            told: called once with what is to be done, before it is done.
            again: names of files that are to be read in any case.
        """
        with self._alone_at_work:
            found = self.inventory.find()
            self._before = effort(self._embedders, self._askers)
            try:
                if self._lock.try_acquire():
                    work = self.inventory.work(found, again, begin=True)
                elif self._alone or not (work := self.inventory.work(found, again)).nothing:
                    found, work = self._locked(found, again)
                self._at_work = True
                with telling_of_a_full_disk(self._directory, *self._places):
                    return self._update(found, work, progress, told)
            finally:
                self._at_work = False
                self._rows.changed()
                if not self._alone:
                    self._lock.release()

    def close(self) -> None:
        """Close the store and let others have it. May be called more than once."""
        self._close_store()
        self._seal()
        self._close_manifest()
        self._lock.release()

    def refresh(self, *, anyway: bool = False) -> None:
        """Show what another process has written since; asking whether there is such a thing takes microseconds.

        Args:
            anyway: even if the manifest does not say so: another process may be at work.

        Raises:
            StoreError: it has built the collection anew.
        """
        assert self._manifest is not None
        if self._manifest.replaced():
            raise StoreError(f"{self._directory}: another process has built it anew; close it, and start again")
        seen = self._manifest.data_version()
        if seen != self._seen or anyway:
            self._unsealed = self._unsealed and seen == self._seen
            self._seen = seen
            refresh_document(self.document)

    def state(self) -> str | None:
        """What the stored rows are like: equal texts mean equal rows. None while rows are being written.

        Costs microseconds while nothing changes. What is read from the store belongs to a state only if that is the
        same before and after.
        """
        if self._manifest is None:
            return None
        # Between two changes of its own the rows are whole: an ingest that runs for hours is no reason to forget.
        return self._rows.now(self._manifest, whole=self._at_work and self._opened)

    def current(self, report: CorpusReport) -> CorpusReport:
        """The report of this process's last update, with what another one has written since."""
        if self._manifest is None or (version := self._manifest.data_version()) == self._reported:
            return report
        self._reported = version
        return as_it_is(report, self._manifest, self._plan)

    def _locked(self, found: Scan, again: Sequence[str] = ()) -> tuple[Scan, Work]:
        """Take the lock, and look what is to do: another process may have done it meanwhile."""
        if self._lock.acquire():
            found = self.inventory.find()
        return found, self.inventory.work(found, again, begin=True)

    def _update(self, found: Scan, work: Work, progress: ProgressFn, told: Callable[[Work], None]) -> CorpusReport:
        running = self._opened
        if not work.fresh and not running:
            damage: str | None = self._try(work)
            if damage and not self._lock.held:
                # What another process is about to write looks like that, too.
                self._close_store()
                self._close_manifest()
                found, work = self._locked(found)
                damage = None if work.fresh else self._try(work)
            if damage:
                work = self._anew(found, damage)
        if work.fresh:
            if running:
                raise StoreError(f"{self._directory}: {work.fresh}, though it is open; close it, and start again")
            claim(self._directory, self._places)
            self._open_manifest()
            self._open_store()
        assert self._manifest is not None
        told(work)
        written: Mapping[str, FileRecord] = {}
        if not work.nothing:
            ingest = Ingest(
                self._plan,
                self._recipes,
                self._manifest,
                self.document,
                self._embedders,
                self._transforms,
                self._askers,
                progress,
                self._rows.changing,
                WINDOW_WHILE_ASKED if running else WINDOW,
            )
            anew = not (work.fresh or running)
            try:
                written = ingest.run(work)
            except StoreError as error:
                # What a process that was killed has left half written may show only when it is written to.
                if not (anew and self._cut_short) or is_full(self._directory, *self._places):
                    raise
                damage = str(error)
            else:
                # What was pending may have hidden it.
                damage = self._damage()
            if damage and anew:
                return self._update(found, self._anew(found, damage), progress, told)
            if damage:
                raise StoreError(f"{self._directory}: {damage}, though all were written; ingest again")
        elif work.touched:
            self._manifest.touch(work.touched)
        self._unsealed = self._unsealed or not self._manifest.get(SEAL)
        self._seen = self._manifest.data_version()
        for index in self._indices:
            index.ready()
            if self._lock.held:
                index.save()
        self._reported = self._manifest.data_version()
        spent = effort(self._embedders, self._askers).since(self._before)
        # Of a corpus that was changed at run time, it is no mistake of the configuration when nothing can be read.
        strict = not self._overlay.entries()
        return report_of(found, work, {**work.records, **written}, self._manifest, self._plan, spent, strict=strict)

    def _anew(self, found: Scan, damage: str) -> Work:
        """What is to do after damage: everything."""
        self._close_store()
        self._close_manifest()
        _log.warning("%s: %s; it is built again from the corpus", self._directory, damage)
        return build_all(found, self._recipes, damage, {})

    def _try(self, work: Work) -> str | None:
        """Open what is stored; what is wrong with it, or None."""
        try:
            manifest = self._open_manifest()
            sealed = manifest.get(SEAL)
            self._cut_short = not sealed
            if damage := (sealed != seal(self._conf) and _CHANGED) if sealed else torn(self._conf):
                return damage
            self._open_store()
            return self._damage({entry.recipe.group for entry in work.groups})
        except (UserError, ServiceError):
            raise
        except (ConfragError, sqlite3.Error, OSError) as error:
            return str(error)

    def _open_manifest(self) -> Manifest:
        self._manifest = Manifest(self._directory / MANIFEST, create=True)
        for key, value in {"identity": identity(self._plan), "store": self.inventory.store}.items():
            if self._manifest.get(key) != value:
                self._manifest.put(key, value)
        self._beside = Manifest(self._directory / MANIFEST, create=False)
        return self._manifest

    @contextmanager
    def _looking(self) -> Iterator[Manifest | None]:
        """The manifest, to see what is stored: by a connection beside that of the questions, which must not wait.

        While the collection is open it is always the same one: SQLite keeps the file handle of a connection that is
        closed for as long as another one has the file open.
        """
        if (beside := self._beside) is not None and not beside.replaced():
            yield beside
            return
        with manifest_in(self._directory) as manifest:
            yield manifest

    def _open_store(self) -> None:
        self.document, self._indices = build_document(
            self._plan, self._conf, self._embedders, self._transforms, self._directory / INDICES
        )
        self._opened = True

    def _close_store(self) -> None:
        if self._opened:
            self._opened = False
            close_document(self.document)

    def _close_manifest(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.close()
        if self._manifest is not None:
            self._manifest.close()
            self._manifest = None

    def _seal(self) -> None:
        """Note what the files of the closed store are like, unless another process has written since."""
        if self._manifest is None or not self._unsealed:
            return
        self._unsealed = False
        try:
            mine = self._lock.try_acquire() and self._manifest.data_version() == self._seen
            if mine and not self._manifest.get(UNFINISHED):
                self._manifest.put(SEAL, seal(self._conf))
        except (ConfragError, sqlite3.Error, OSError) as error:
            _log.info("%s: not sealed: %s", self._directory, error)  # the next start looks closer, that is all

    def _damage(self, rebuilt: Set[str] = frozenset()) -> str | None:
        assert self._manifest is not None
        return damage(self._manifest, self.document, self._plan.groups, self._recipes, rebuilt)
