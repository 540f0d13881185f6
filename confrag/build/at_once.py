"""Calls of a server from several threads, which an interrupt does not wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import lazyllm

__all__ = ["at_once"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, stopped: threading.Event
) -> Iterator[Result]:
    """The results of the items as they come; `stopped` is set when no more of them are wanted.

    After an error the calls under way are waited for, since they have been paid for. The threads are daemons, unlike
    those of `concurrent.futures`, so that an interrupted process does not wait.
    """
    todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        todo.put(item)
    done: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        with lazyllm.new_session():
            while not stopped.is_set():
                try:
                    item = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((work(item), None))
                except BaseException as error:  # noqa: BLE001 - it is raised where the results are read
                    stopped.set()
                    done.put((None, error))

    names = [f"confrag-call-{number}" for number in range(min(workers, len(items)))]
    threads = [threading.Thread(target=run, name=name, daemon=True) for name in names]
    for thread in threads:
        thread.start()
    try:
        for _ in items:
            result, error = done.get()
            if error is not None:
                raise error
            yield result  # type: ignore[misc]
    except Exception:
        for thread in threads:
            thread.join()
        raise
    finally:
        stopped.set()
