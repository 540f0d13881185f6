"""Bringing the store up to date in a thread of its own, while questions are answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from confrag.build.progress import ProgressFn
from confrag.errors import ConfragError, ServiceError
from confrag.runtime.work import Work

__all__ = ["Background", "Doing"]

_log = logging.getLogger("confrag")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 60.0

Update = Callable[[ProgressFn, Callable[[Work], None], Sequence[str]], object]
"""Brings the store up to date; the last argument names files that are read in any case."""


class _StoppedError(BaseException):
    """The engine is being closed: an ingest is left where it is, and the next start goes on with it."""


@dataclass(frozen=True, slots=True)
class Doing:
    """What an ingest is at.

    Attributes:
        state: ``idle``; ``working``; ``waiting`` for a service that did not answer, to try once more; ``failed``.
        stage, done, total: as progress is told.
        error: why it waits or has failed.
    """

    state: Literal["idle", "working", "waiting", "failed"] = "idle"
    stage: str = ""
    done: int = 0
    total: int = 0
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Background:
    """Ingests whenever it is told that something has changed; changes that come meanwhile are taken together.

    A service that does not answer is asked again, after 2 s at first and at most every 60 s. Anything else that goes
    wrong is kept in `doing` until the next change.

    Args:
        update: does it.
    """

    def __init__(self, update: Update) -> None:
        self._update = update
        self._changed = threading.Condition()
        self._again: set[str] = set()
        self._wanted = 0
        self._tried = 0
        self._settled = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self.doing = Doing()
        self.at: frozenset[str] = frozenset()
        """Names of the files that are being read, embedded or written."""
        self._order: tuple[str, ...] = ()
        self._error: Exception | None = None

    def wake(self, again: Sequence[str] = ()) -> int:
        """Something has changed; returns a number for `wait`.

        Args:
            again: names of files that are to be read in any case.
        """
        with self._changed:
            self._again.update(again)
            self._wanted += 1
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="confrag-ingest", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._wanted

    def wait(self, number: int) -> None:
        """Wait until what `wake` returned this number for is in the store. Raises what goes wrong at the first try."""
        with self._changed:
            self._changed.wait_for(lambda: self._tried >= number or self._closing)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End at the next step. May be called more than once."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted > self._settled or self._closing)
                if self._closing:
                    return
                number, again = self._wanted, sorted(self._again)
            try:
                self._once(again)
            except _StoppedError:
                return
            except ServiceError as error:
                _log.warning("documents: %s; trying again in %g s", error, wait_s)
                self.doing = Doing("waiting", error=str(error))
                self._error = error
                with self._changed:
                    self._tried = number
                    self._changed.notify_all()
                    self._changed.wait_for(partial(self._woken, number), wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                continue
            except ConfragError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the service goes on with what is stored
                _log.exception("documents: could not be brought up to date")
                self._fail(error)
            else:
                self.doing, self._error = Doing(), None
                wait_s = _FIRST_WAIT_S
            self.at, self._order = frozenset(), ()
            with self._changed:
                self._tried = self._settled = number
                self._again.difference_update(again)
                self._changed.notify_all()

    def _woken(self, number: int) -> bool:
        return self._closing or self._wanted > number

    def _fail(self, error: Exception) -> None:
        self._error = error
        _log.warning("documents: %s", error)
        self.doing = Doing("failed", error=str(error) or type(error).__name__)

    def _once(self, again: Sequence[str]) -> None:
        self.doing = Doing("working")
        self._update(self._progress, self._told, again)

    def _told(self, work: Work) -> None:
        self._order = tuple(entry.file.name for entry in work.files)
        self.at = frozenset(self._order[:1])

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._closing:
            raise _StoppedError
        if stage == "read":
            self.at = frozenset(self._order[: done + 1])
        self.doing = Doing("working", stage, done, total)
