"""One writer: locks on a collection and on the places that its user named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from confrag.errors import UserError

__all__ = ["Lock"]


class Lock:
    """A lock that processes hold one after another; it goes with a process that is killed.

    Args:
        targets: what is to be locked; a file ``<name>.lock`` lies beside each.
        timeout_s: how long to wait for another process.
        waiting: told whom for, once, before waiting.
        alone: said of a store whose files belong to one process at a time, for which nobody waits; else empty.
    """

    def __init__(self, targets: Sequence[Path], timeout_s: float, waiting: Callable[[str], None], alone: str) -> None:
        self._targets = targets
        self._timeout_s = timeout_s
        self._waiting = waiting
        self._alone = alone
        self._held: ExitStack | None = None

    def acquire(self) -> None:
        """Take the lock, unless it is held already.

        Raises:
            UserError: another process holds it; its process id is named. Or nothing can be written there.
        """
        if self._held:
            return
        with ExitStack() as stack:
            for target in self._targets:
                self._acquire(target, stack)
            self._held = stack.pop_all()

    def release(self) -> None:
        """Give it back. May be called more than once."""
        held, self._held = self._held, None
        if held:
            held.close()

    def _acquire(self, target: Path, stack: ExitStack) -> None:
        lock_file, owner_file = (target.with_name(f"{target.name}{end}") for end in (".lock", ".owner"))
        lock = FileLock(lock_file)
        try:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if self._alone or not self._timeout_s:
                    raise
                self._waiting(f"{target} is being written by {_owner(owner_file)}; waiting up to {self._timeout_s:g} s")
                lock.acquire(timeout=self._timeout_s, poll_interval=0.1)
            stack.callback(lock.release)
            owner_file.write_text(str(os.getpid()))
            stack.callback(owner_file.unlink, missing_ok=True)
        except Timeout:
            way_out = self._alone or (
                "it is released when that process has written its documents. Wait for it, raise lock_timeout_s, or "
                "use another state_dir"
            )
            raise UserError(f"{target} is in use by {_owner(owner_file)}: {way_out}") from None
        except OSError as error:
            raise UserError(f"{target.parent}: cannot be written: {error.strerror or error}") from None


def _owner(file: Path) -> str:
    try:
        return f"another process (pid {file.read_text().strip()})"
    except OSError:
        return "another process"
