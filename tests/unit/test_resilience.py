"""How patiently a server is asked: what is repeated, after which pause, how many at once and in a minute."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from confrag.build.models.resilience import BusyError, Calls, RateLimit, is_busy, retry_after


class Attempts:
    """Fails as often as it is told, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_is_busy_is_asked_again_with_growing_pauses() -> None:
    pauses: list[float] = []
    attempts = Attempts(*(BusyError("later") for _ in range(3)))
    assert Calls(retries=3, backoff_s=2.0, sleep=pauses.append)(attempts) == "done"
    assert attempts.count == 4
    assert [low <= pause <= low + 2.0 for low, pause in zip((2, 4, 8), pauses, strict=True)] == [True] * 3


def test_pauses_differ_by_chance() -> None:
    pauses: list[float] = []
    for _ in range(5):
        Calls(retries=1, backoff_s=1.0, sleep=pauses.append)(Attempts(BusyError("later")))
    assert len(set(pauses)) > 1


def test_a_server_that_says_how_long_is_given_that_time() -> None:
    pauses: list[float] = []
    calls = Calls(retries=2, backoff_s=0.01, sleep=pauses.append)
    assert calls(Attempts(BusyError("later", 7.0), BusyError("later"))) == "done"
    assert pauses[0] == 7.0
    assert pauses[1] < 1.0


def test_a_server_that_asks_for_too_long_is_not_waited_for() -> None:
    pauses: list[float] = []
    attempts = Attempts(BusyError("come back tomorrow", 86_400.0))
    with pytest.raises(BusyError, match="come back tomorrow"):
        Calls(retries=5, sleep=pauses.append)(attempts)
    assert (attempts.count, pauses) == (1, [])


def test_attempts_come_to_an_end() -> None:
    attempts = Attempts(*(BusyError(f"attempt {number}") for number in range(1, 10)))
    with pytest.raises(BusyError, match="attempt 3"):
        Calls(retries=2, sleep=lambda pause: None)(attempts)
    assert attempts.count == 3


def test_the_caller_may_repeat_by_himself() -> None:
    attempts = Attempts(BusyError("later"))
    with pytest.raises(BusyError):
        Calls(retries=5, sleep=lambda pause: None)(attempts, retries=0)
    assert attempts.count == 1


def test_any_other_error_is_final() -> None:
    attempts = Attempts(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        Calls(retries=5, sleep=lambda pause: None)(attempts)
    assert attempts.count == 1


@pytest.mark.parametrize("bound", [1, 3])
def test_no_more_are_under_way_than_allowed(bound: int) -> None:
    calls = Calls(concurrency=bound)
    reached, guard, now = threading.Barrier(bound), threading.Lock(), set()
    most = 0

    def attempt(number: int) -> None:
        nonlocal most
        with guard:
            now.add(number)
            most = max(most, len(now))
        reached.wait(30)  # breaks unless as many as are allowed meet here
        with guard:
            now.remove(number)

    with ThreadPoolExecutor(12) as pool:
        for task in [pool.submit(calls, lambda number=number: attempt(number)) for number in range(12)]:
            task.result()
    assert most == bound


def test_a_place_is_free_again_after_a_failure() -> None:
    calls = Calls(retries=0, concurrency=1)
    with pytest.raises(ValueError, match="no"):
        calls(Attempts(ValueError("no")))
    assert calls(Attempts()) == "done"


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_rate_holds_in_any_minute() -> None:
    clock = Clock()
    limit = RateLimit(3, clock, clock.sleep)
    passed = []
    for number in range(20):
        clock.now += number % 4
        limit()
        passed.append(clock.now)
    assert passed[:3] == [100.0, 101.0, 103.0]
    assert all(later - earlier >= 60.0 for earlier, later in zip(passed, passed[3:], strict=False))
    assert passed[3] == passed[0] + 60.0


def test_the_rate_counts_repetitions() -> None:
    clock = Clock()
    calls = Calls(retries=2, backoff_s=0.01, sleep=clock.sleep)
    calls._rate = RateLimit(1, clock, clock.sleep)
    calls(Attempts(BusyError("later"), BusyError("later")))
    assert clock.now >= 220.0


@pytest.mark.parametrize(
    ("status", "busy"), [(200, False), (400, False), (401, False), (404, False), (408, True), (429, True), (503, True)]
)
def test_which_statuses_are_worth_another_attempt(status: int, busy: bool) -> None:
    assert is_busy(status) == busy


def test_a_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("12") == 12.0
    assert retry_after(None) is None
    assert retry_after("soon") is None
    later = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert 90 < (retry_after(format_datetime(later, usegmt=True)) or 0) <= 100
    assert retry_after(format_datetime(later - timedelta(days=1), usegmt=True)) == 0.0
