"""What an index holds of a node group, in line with the store whoever wrote that last."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from confrag.build.indices.nodes import NodeReader
from confrag.build.indices.snapshot import DamagedError, Kept, Snapshot

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode

__all__ = ["Mirror"]

_log = logging.getLogger("confrag")


class Mirror(ABC):
    """Compares the uids that it holds with those that are stored, and takes in the difference.

    Uids are digests of place and text, so that equal uids are equal texts. It begins with its snapshot, where there is
    one; it is compared when it is first used, and again after every change. Safe for threads.

    Attributes:
        kept: the snapshot that it began with, or wrote last.

    Args:
        nodes: the stored nodes.
        group: the node group.
        snapshot: where it is kept; None: in memory only.
    """

    def __init__(self, nodes: NodeReader, group: str, snapshot: Snapshot | None = None) -> None:
        self.nodes = nodes
        self.group = group
        self._snapshot = snapshot
        self.kept: Kept | None = None
        self._saved = False
        self._stale = True
        self._changed: set[str] = set()
        self._guard = threading.RLock()

    @abstractmethod
    def held(self) -> Collection[str]:
        """The uids that it holds."""

    @abstractmethod
    def change(self, gone: Sequence[str], new: Sequence[str]) -> None:
        """Forget nodes that it holds, and take in stored ones that it does not hold."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    def restore(self, kept: Kept) -> None:
        """Take over what `fill` wrote, in place of what it holds; any `ValueError`, `KeyError` or `OSError` says no."""
        raise ValueError("it keeps nothing")

    def fill(self, folder: Path) -> None:
        """Write what it holds into an empty folder."""
        raise NotImplementedError  # with a snapshot, there is one

    def is_kept(self) -> bool:
        """Whether there is a snapshot to begin with; an index that keeps none misses none."""
        try:
            return self._snapshot is None or self._snapshot.read() is not None
        except DamagedError:
            return False

    def update(self, nodes: Sequence[DocNode]) -> None:
        """Take notice of nodes that were written to the store."""
        uids = {node.uid for node in nodes if node.group == self.group}
        with self._guard:
            if uids:
                self._changed |= uids & set(self.held())
                self._stale = True

    def remove(self, uids: Sequence[str] | None, group_name: str | None = None) -> None:
        """Take notice of nodes that were removed from the store, or, when `uids` is None, of any change to it."""
        with self._guard:
            self._stale = self._stale or group_name in (None, self.group)

    def ready(self) -> None:
        """Bring it in line with the store now, rather than at the next question.

        Raises:
            StoreError: the store fails.
        """
        with self.current():
            pass

    def save(self) -> None:
        """Keep it on disk, if it changed; to be called by the one process that may write the collection."""
        with self._guard:
            if self._snapshot is None or self._saved or self._stale:
                return
            try:
                self.kept = self._snapshot.write(self.fill)
                self._saved = True
            except OSError as error:
                # The next start builds it again, that is all.
                _log.warning("%s: the index could not be kept: %s", self._snapshot.folder, error)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Alone with it, and in line with the store."""
        with self._guard:
            if self._stale:
                self._compare()
            yield

    def _compare(self) -> None:
        self._restore()
        stored = self.nodes.uids(self.group)
        held, wanted = set(self.held()), set(stored)
        if held != wanted or self._changed:
            known = held - self._changed
            gone = [uid for uid in held if uid not in wanted or uid in self._changed]
            new = [uid for uid in stored if uid not in known]
            self._saved = False
            try:
                self.change(gone, new)
            except BaseException:
                self.clear()  # it may be half done
                self.kept = None
                raise
        self._changed.clear()
        # Rows may be on their way that another process is just writing: it looks again.
        self._stale = set(self.held()) != wanted

    def _restore(self) -> None:
        """Begin with the snapshot; go on with it, where another process has written a newer one."""
        if self._snapshot is None:
            return
        try:
            kept = self._snapshot.read()
            if kept is None or kept == self.kept:
                return
            self.restore(kept)
            self.kept, self._saved = kept, True
            self._changed.clear()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            _log.warning("%s: the index cannot be used (%s); it is built again", self._snapshot.folder, error)
            self.clear()
            self.kept = None
