"""Progress of long work on standard error: bars on a terminal, lines elsewhere when asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from confrag.build.progress import ProgressFn, silent
from confrag.cli.output import say

__all__ = ["shown"]


@contextmanager
def shown(wanted: bool | None) -> Iterator[ProgressFn]:
    """A progress callable.

    Args:
        wanted: None: bars on a terminal, nothing elsewhere. True: always. False: never.
    """
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        yield silent
    elif sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _Lines()


@contextmanager
def _bars() -> Iterator[ProgressFn]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total or None, rate="")
            task = progress.tasks[[t.id for t in progress.tasks].index(tasks[stage])]
            rate = _rate(task.speed) if task.speed else ""
            progress.update(tasks[stage], completed=done, total=total or None, rate=rate)

        yield report


def _rate(per_second: float) -> str:
    """A chat model may take seconds for one text."""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"


class _Lines:
    """A line each two seconds, and one when a stage is over."""

    def __init__(self, every_s: float = 2.0) -> None:
        self._every = every_s
        self._started: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        begun = self._started.setdefault(stage, now)
        over = bool(total) and done >= total
        if not over and now - self._last.get(stage, begun) < self._every:
            return
        self._last[stage] = now
        rate = done / (now - begun) if now > begun else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and total and not over else ""
        say(f"{stage}: {done}{f'/{total}' if total else ''}{f' ({_rate(rate)}{left})' if rate else ''}")
