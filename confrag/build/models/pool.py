"""Threads that live as long as a model and take one text each, side by side.

One text a run, because a quantised model scales its activations over everything in a run: the same text gets another
vector in other company, and an index that grew step by step would differ from one built at once. It costs nothing:
batches pay for padding, and independent runs keep all cores busy without waiting for one another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from threading import Event
from typing import TypeVar

import numpy as np

from confrag.build.models.protocols import Vectors
from confrag.build.progress import ProgressFn

# A task is a few texts: fewer and progress costs time, more and cores idle at the end.
_TEXTS_A_TASK = 8

Result = TypeVar("Result")


def cores(threads: int = 0) -> int:
    """`threads`, or for 0 the number of cores this process may use."""
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class TextPool:
    """Computes something for each of many texts: a row of numbers, say.

    Args:
        threads: how many texts are worked on at once; 0: as many as there are cores.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = cores(threads)
        self._closed = Event()
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="confrag-model")

    def rows(
        self, compute: Callable[[str], Vectors], texts: Sequence[str], width: int, stage: str, progress: ProgressFn
    ) -> Vectors:
        """`[n, width] float32`: ``compute(text)`` (`[width]`) for each text, as `each` gives them."""
        return np.array(self.each(compute, texts, stage, progress), np.float32).reshape(len(texts), width)

    def each(
        self, compute: Callable[[str], Result], texts: Sequence[str], stage: str, progress: ProgressFn
    ) -> list[Result]:
        """``compute(text)`` for each text, in their order.

        A text that occurs more than once is computed once. An interrupt, or an error of `compute`, ends the work after
        the texts that are just being computed.
        """
        if self._closed.is_set():
            raise RuntimeError("the model is closed")
        distinct = list(dict.fromkeys(texts))
        results: dict[str, Result] = {}
        size = max(1, min(_TEXTS_A_TASK, len(distinct) // (4 * self._threads)))
        stop = Event()

        def work(start: int) -> int:
            end = min(start + size, len(distinct))
            for text in distinct[start:end]:
                if stop.is_set():
                    break
                if self._closed.is_set():
                    raise RuntimeError("the model was closed while it was at work")
                results[text] = compute(text)
            return end - start

        tasks: list[Future[int]] = []
        done = 0
        try:
            tasks.extend(self._executor.submit(work, start) for start in range(0, len(distinct), size))
            for task in as_completed(tasks):
                done += task.result()
                progress(stage, done, len(distinct))
        finally:
            stop.set()
            for task in tasks:
                task.cancel()
            wait(tasks)
        return [results[text] for text in texts]

    def close(self) -> None:
        """End the threads."""
        self._closed.set()
        self._executor.shutdown()


__all__ = ["TextPool", "cores"]
