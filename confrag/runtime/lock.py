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

    @property
    def held(self) -> bool:
        """Whether this one holds it."""
        return self._held is not None

    def acquire(self) -> bool:
        """Take the lock, unless it is held already.

        Returns:
            Whether it had to wait for another process.

        Raises:
            UserError: another process holds it; its process id is named. Or nothing can be written there.
        """
        if self._held:
            return False
        with ExitStack() as stack:
            waited = [self._acquire(target, stack) for target in self._targets]
            self._held = stack.pop_all()
        return any(waited)

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; returns whether it is held.

        Raises:
            UserError: nothing can be written there.
        """
        if not self._held:
            with ExitStack() as stack:
                if not all(self._try(target, stack) for target in self._targets):
                    return False
                self._held = stack.pop_all()
        return True

    def release(self) -> None:
        """Give it back. May be called more than once."""
        held, self._held = self._held, None
        if held:
            held.close()

    def _acquire(self, target: Path, stack: ExitStack) -> bool:
        if self._try(target, stack):
            return False
        if not self._alone and self._timeout_s:
            self._waiting(f"{target} is being written by {_owner(target)}; waiting up to {self._timeout_s:g} s")
            if self._try(target, stack, self._timeout_s):
                return True
        way_out = self._alone or (
            "it is released when that process has written its documents. Wait for it, raise lock_timeout_s, or use "
            "another state_dir"
        )
        raise UserError(f"{target} is in use by {_owner(target)}: {way_out}")

    def _try(self, target: Path, stack: ExitStack, timeout_s: float = 0) -> bool:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # An engine may be closed by another thread than the one that started it.
            lock = FileLock(_beside(target, ".lock"), thread_local=False)
            lock.acquire(timeout=timeout_s, poll_interval=0.1)
            stack.callback(lock.release)
            owner = _beside(target, ".owner")
            owner.write_text(str(os.getpid()))
            stack.callback(owner.unlink, missing_ok=True)
        except Timeout:
            return False
        except OSError as error:
            raise UserError(f"{target.parent}: cannot be written: {error.strerror or error}") from None
        return True


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}{ending}")


def _owner(target: Path) -> str:
    try:
        return f"another process (pid {_beside(target, '.owner').read_text().strip()})"
    except OSError:
        return "another process"
