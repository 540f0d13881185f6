"""How patiently a model behind a server is asked: how many requests at once, how many a minute, and what is repeated.

The one policy of all models that are reached over HTTP. Whoever sends a request says by `BusyError` that the same
request may succeed later; everything else is final.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

__all__ = ["BusyError", "Calls", "RateLimit", "is_busy", "retry_after"]

Result = TypeVar("Result")

_LONGEST_PAUSE_S = 60.0
"""Between two attempts. A server that asks for more is not waited for."""
_MINUTE_S = 60.0


class BusyError(Exception):
    """The server is busy, away, or answers with nonsense: the same request may succeed later.

    Attributes:
        after_s: seconds that the server asks to wait; None when it does not say.
    """

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


def is_busy(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed later."""
    return status in (408, 429) or status >= 500


def retry_after(value: str | None) -> float | None:
    """Seconds in a Retry-After header, which holds seconds or a date; None where it cannot be read."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or timezone.utc) - datetime.now(timezone.utc)).total_seconds())


class RateLimit:
    """Lets at most so many through in any minute; the others wait. Safe for threads.

    Args:
        per_minute: how many.
        clock: seconds, monotonic.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._passed: deque[float] = deque(maxlen=per_minute)
        self._clock = clock
        self._sleep = sleep
        self._guard = threading.Lock()

    def __call__(self) -> None:
        """Wait for one's turn."""
        with self._guard:
            now = self._clock()
            full = len(self._passed) == self._passed.maxlen
            turn = max(now, self._passed[0] + _MINUTE_S) if full else now
            self._passed.append(turn)
        if turn > now:
            self._sleep(turn - now)


class Calls:
    """The requests to one model. Safe for threads.

    Args:
        retries: how often a request is repeated that ended in `BusyError`.
        backoff_s: seconds before the first repetition; doubled each time, with up to as much added by chance.
        concurrency: requests under way at the same time; None: no bound.
        rate_limit: requests in a minute, repeated ones included; None: no bound.
        sleep: waits for seconds, between two attempts.
    """

    def __init__(
        self,
        *,
        retries: int = 1,
        backoff_s: float = 1.0,
        concurrency: int | None = None,
        rate_limit: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._retries = retries
        self._growing = wait_exponential_jitter(initial=backoff_s, max=_LONGEST_PAUSE_S, jitter=backoff_s)
        self._places = threading.BoundedSemaphore(concurrency) if concurrency else nullcontext()
        self._rate = RateLimit(rate_limit) if rate_limit else None
        self._sleep = sleep
        self.concurrency = concurrency

    def __call__(self, attempt: Callable[[], Result], retries: int | None = None) -> Result:
        """The result of an attempt.

        Args:
            attempt: sends the request; raises BusyError when the same may succeed later.
            retries: instead of the model's own.

        Raises:
            BusyError: of the last attempt, or with a longer pause asked for than is waited.
            Exception: whatever else the attempt raises, at once.
        """
        times = (self._retries if retries is None else retries) + 1
        patiently = Retrying(
            retry=retry_if_exception_type(BusyError),
            stop=stop_after_attempt(times) | _asks_too_much,  # type: ignore[operator]
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        result: Result = patiently(self._one, attempt)
        return result

    def _one(self, attempt: Callable[[], Result]) -> Result:
        # A place is held while waiting for the rate: a turn is a time to begin at, not one to begin queueing at.
        with self._places:
            if self._rate:
                self._rate()
            return attempt()

    def _pause(self, state: RetryCallState) -> float:
        return max(self._growing(state), _asked(state) or 0.0)


def _asks_too_much(state: RetryCallState) -> bool:
    return (_asked(state) or 0.0) > _LONGEST_PAUSE_S


def _asked(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.after_s if isinstance(error, BusyError) else None
