"""Evaluations that run in several processes at once, on stores whose files belong to one process at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from confrag.build.document import build_store_conf
from confrag.plan.model import Plan
from confrag.runtime.places import belongs_to_one_process, collection_dir

__all__ = ["turn"]


@contextmanager
def turn(plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Have the store of a configuration to oneself, if its files are such: other evaluations of it wait.

    What else has the store open, a service for instance, does not wait in this line; to that, the collection's own
    lock applies.

    Args:
        plan: of the configuration.
        folder: where evaluations of one ``state_dir`` meet.
        say: told that, and why, another evaluation is waited for.
    """
    reason = belongs_to_one_process(build_store_conf(plan, collection_dir(plan)))
    if not reason:
        yield
        return
    lock = FileLock(folder / f"{plan.collection}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{plan.name}: waits for another job, which has the same collection open. {reason}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
