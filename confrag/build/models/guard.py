"""A process that runs a server for another one, and ends it with all its children when that one is gone.

Run by its path, with nothing but the standard library: ``python -I guard.py PARENT COMMAND...``. However the parent
ends, SIGKILL included, its children get another parent; the guard sees that and ends what it started. SIGTERM tells
it to do so at once. (Linux can send a signal when a parent ends, but does so already when the *thread* ends that
started the child.)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

GRACE_S = 10.0
"""Seconds that the server has to end by itself."""
_POLL_S = 0.1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PROC = Path("/proc")


def main(parent: int, command: list[str]) -> int:
    """Run the command until it ends or the parent does; returns its exit code, 128 + N for signal N."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what loses its parent below us becomes our child
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    server = None
    try:
        server = subprocess.Popen(command, preexec_fn=_end_with_the_guard)
        while server.poll() is None and os.getppid() == parent:
            time.sleep(_POLL_S)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if server is not None:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(GRACE_S)
        _end_descendants()
    code = server.wait()
    return 128 - code if code < 0 else code


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end_with_the_guard() -> None:
    # In the child: for the case that the guard itself is killed.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_descendants() -> None:
    if not _PROC.is_dir():
        os.killpg(0, signal.SIGKILL)  # ourselves included: we lead the group
    while children := [pid for pid, parent in _processes() if parent == os.getpid()]:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _processes() -> list[tuple[int, int]]:
    """Pairs of a process and its parent."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name of the program stands in brackets and may hold anything.
                found.append((int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])))
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
