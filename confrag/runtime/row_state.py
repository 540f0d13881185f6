"""Which state the rows of a collection are in, told in microseconds while they are read and changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confrag.build.gate import Gate
from confrag.runtime.manifest import UNFINISHED, Manifest

__all__ = ["RowState"]


class RowState:
    """The state of the rows of a collection.

    Attributes:
        gate: closed while rows are being changed.
    """

    def __init__(self) -> None:
        self.gate = Gate()
        self._changing = False
        self._changes = 0
        self._known: tuple[object, str | None] = (None, None)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Rows are changed inside: nobody reads them, and they have no state."""
        with self.gate.writing():
            self._changing = True
            try:
                yield
            finally:
                self.changed()
                self._changing = False

    def changed(self) -> None:
        """This process has written: its own connection to the manifest does not see that."""
        self._changes += 1

    def now(self, manifest: Manifest, *, whole: bool) -> str | None:
        """A text that is equal for equal rows; None while rows are being written.

        Args:
            manifest: of the collection.
            whole: this process is at work, and has the rows whole between two changes.
        """
        if self._changing:
            return None
        token = (manifest.data_version(), self._changes)
        if token != self._known[0]:
            busy = (not whole and bool(manifest.get(UNFINISHED))) or manifest.pending()
            self._known = (token, None if busy else manifest.version())
        return self._known[1]
