"""An answer piece by piece, written by a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from confrag.errors import UserError
from confrag.runtime.results import Answer

__all__ = ["Stream"]

Ask = Callable[[Callable[[str], None], threading.Event], Answer]
"""Answers, and hands each piece to the function that it is given, until the event is set."""


class Stream(Iterator[str]):
    """The pieces of an answer.

    The model writes as long as somebody listens: `close`, leaving a loop over the stream, or an interrupt ends the
    question at its next step, or the request to the model at its next piece, and with it what the server computes.
    """

    def __init__(self, ask: Ask) -> None:
        # The thread holds the work, not this object, which goes as soon as nobody reads from it any more.
        self._work = _Work(ask)

    @property
    def answer(self) -> Answer:
        """The whole answer. Raises UserError while pieces are still to come."""
        if self._work.answer is None:
            raise UserError("the answer is complete only when its stream has ended")
        return self._work.answer

    def __next__(self) -> str:
        work = self._work
        piece = work.pieces.get() if not work.stopped.is_set() else None
        if piece is not None:
            return piece
        work.stopped.set()
        if work.error:
            error, work.error = work.error, None
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop listening; the question is given up."""
        self._work.stopped.set()

    def __del__(self) -> None:
        self.close()


class _Work:
    """What the thread and its listener share."""

    def __init__(self, ask: Ask) -> None:
        self.pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        threading.Thread(target=self._run, args=(ask,), name="confrag-stream", daemon=True).start()

    def _run(self, ask: Ask) -> None:
        try:
            self.answer = ask(self.pieces.put, self.stopped)
        except BaseException as error:  # noqa: BLE001 - it is raised where the pieces are read
            self.error = error
        finally:
            self.pieces.put(None)
