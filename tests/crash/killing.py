"""Ingests that are killed: a process that has imported everything, and forks a child for each of them.

Importing takes seconds and an ingest of a small corpus a few hundred milliseconds. Until it forks, the process opens
no store and starts no thread, so that each child begins as a fresh process would.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PHASES = ("opening", "reading", "embedding", "writing", "deleting", "finishing", "after")
"""What an ingest was at when it was killed; the last one: it was over already."""
_STATE = struct.Struct("dB")
_STEPS = {
    "read_file": "reading",
    "write_nodes": "writing",
    "stored_uids": "deleting",
    "delete_nodes": "deleting",
    "delete_documents": "deleting",
    "drop_group": "deleting",
    "finish": "finishing",
}


class Forge:
    """Runs ingests in processes of their own. End it with `close`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.killing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ingest(self, root: Path, preset: str, *overrides: str, kill_after_s: float | None = None) -> dict[str, Any]:
        """One ingest of a workplace.

        Args:
            root: of the workplace.
            preset: its configuration.
            overrides: of the configuration.
            kill_after_s: when the process is killed; None: never.

        Returns:
            ``seconds`` that it took, after how many it had ``opened_s`` the store, the last ``phase``, ``killed``
            (whether it still ran then) and its ``error``.
        """
        request = {"root": str(root), "preset": preset, "overrides": overrides, "kill_after_s": kill_after_s}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return dict(json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main() -> None:
    """Read requests from standard input, one a line, until it ends."""
    # All that an ingest would import.
    import chromadb  # noqa: F401
    import pymilvus  # noqa: F401

    import tests.engine
    from confrag.build.stores import chroma, map, milvus, milvus_server  # noqa: A004, F401
    from confrag.runtime import app  # noqa: F401

    with tests.engine.hashed_registered():
        for line in sys.stdin:
            sys.stdout.write(json.dumps(_run(**json.loads(line))) + "\n")
            sys.stdout.flush()


def _run(root: str, preset: str, overrides: list[str], kill_after_s: float | None) -> dict[str, Any]:
    from tests.engine import Workplace

    app = Workplace(Path(root)).load(preset, *overrides)
    state = mmap.mmap(-1, _STATE.size)  # shared with the child: when it had opened the store, what it is at
    begun = time.perf_counter()
    _STATE.pack_into(state, 0, begun, 0)
    said, says = os.pipe()
    child = os.fork()
    if not child:
        _ingest(app, state, says)
    os.close(says)
    # The pipe ends with the child, or when its time has come.
    over, _, _ = select.select([said], [], [], kill_after_s)
    if not over:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seconds = time.perf_counter() - begun
    with os.fdopen(said, encoding="utf-8") as stream:
        error = stream.read()
    opened, phase = _STATE.unpack_from(state)
    timing = {"seconds": seconds, "opened_s": opened - begun}
    return {**timing, "phase": PHASES[phase], "killed": not over, "error": error}


def _ingest(app: Any, state: mmap.mmap, says: int) -> None:
    """The child: ends without cleaning up after the process that it is a copy of."""
    error = ""
    try:
        from confrag.runtime import cached_embedder, ingest

        # Several windows, and several steps in each, from a small corpus.
        ingest.WINDOW, cached_embedder._STEP = 40, 16
        for name, step in _STEPS.items():
            _watch(ingest, name, PHASES.index(step), state)
        _watch(cached_embedder.CachedEmbedder, "passages", PHASES.index("embedding"), state)
        app.ingest()
        _reach(state, len(PHASES) - 1)
    except BaseException as failure:
        error = f"{type(failure).__name__}: {failure}"
    os.write(says, error.encode()[:4000])
    os._exit(0)


def _reach(state: mmap.mmap, step: int) -> None:
    opened, before = _STATE.unpack_from(state)
    _STATE.pack_into(state, 0, opened if before else time.perf_counter(), step)


def _watch(owner: Any, name: str, step: int, state: mmap.mmap) -> None:
    real = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        _reach(state, step)
        return real(*args, **kwargs)

    setattr(owner, name, watched)


if __name__ == "__main__":
    main()
