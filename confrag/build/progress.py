"""How long work reports itself: one callable, so that the engine knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Callable

ProgressFn = Callable[[str, int, int], None]
"""Called with (stage, done, total); `stage` is a short label such as ``read`` or ``embed MediumChunk``, `total` is 0
while it is unknown, and a stage is over when ``done == total``."""


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
