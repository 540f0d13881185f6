"""Standard output belongs to the result; everything else goes to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

__all__ = ["kept_stdout", "reserved_stdout", "say"]

_kept: list[TextIO] = []


def say(text: str) -> None:
    """A line for the user, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def kept_stdout() -> TextIO:
    """Where results go: what `reserved_stdout` keeps; where it keeps nothing, as in a process that a launcher has
    started, standard output as it is.
    """
    return _kept[-1] if _kept else sys.stdout


@contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Keep standard output for the caller: what libraries print there, C code included, goes to standard error."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:
        yield sys.stdout
        return
    saved = sys.stdout
    out = os.fdopen(kept, "w", encoding="utf-8", errors="replace")
    _kept.append(out)
    try:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        yield out
        out.flush()
    finally:
        _kept.remove(out)
        sys.stdout = saved
        os.dup2(kept, 1)
        with suppress(BrokenPipeError):
            out.close()
