"""How many questions run at once, how many wait, and what the others are told."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from confrag.serve.problems import ProblemError

__all__ = ["Admission"]

_LONGEST_WAIT_S = 60


class Admission:
    """A number of places, and a bounded queue in front of them; first come, first served. Of one event loop.

    Attributes:
        running: questions under way.

    Args:
        places: how many may run at once.
        queue: how many more may wait.
        changed: told how many are running and waiting, whenever that changes.
    """

    def __init__(self, places: int, queue: int, changed: Callable[[int, int], None] = lambda *_: None) -> None:
        self._places, self._queue = places, queue
        self._changed = changed
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._usual_s = 1.0
        self.running = 0

    @property
    def waiting(self) -> int:
        """Questions that wait for a place."""
        return len(self._waiting)

    async def enter(self) -> Callable[[], None]:
        """Wait for a place.

        Returns:
            What gives the place back; to be called once, in the event loop.

        Raises:
            ProblemError: 429: as many are waiting as may.
        """
        if self.running < self._places:
            self.running += 1
            self._tell()
        elif len(self._waiting) >= self._queue:
            raise self._full()
        else:
            await self._turn()
        begun = time.monotonic()

        def leave() -> None:
            # Of the last questions more than of those long ago.
            self._usual_s += 0.2 * (time.monotonic() - begun - self._usual_s)
            self._pass_on()

        return leave

    async def _turn(self) -> None:
        """Wait until a place is handed over."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._tell()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it was this one's turn just when it gave up
            elif turn in self._waiting:
                self._waiting.remove(turn)
                self._tell()
            raise

    def _pass_on(self) -> None:
        """Hand a place to who has waited for longest, or take it back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # who has given up is still in the queue
                turn.set_result(None)
                break
        else:
            self.running -= 1
        self._tell()

    def _tell(self) -> None:
        self._changed(self.running, len(self._waiting))

    def _full(self) -> ProblemError:
        ahead = len(self._waiting) + 1
        after = min(_LONGEST_WAIT_S, max(1, math.ceil(ahead * self._usual_s / self._places)))
        return ProblemError(
            429,
            f"{self.running} questions are under way and {len(self._waiting)} wait (serve.max_concurrency, "
            f"serve.queue); ask again in {after} s",
            {"Retry-After": str(after)},
        )
