"""Processes that a bench measures: each is fresh, and none outlives the bench."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from confrag.errors import ConfragError, ServiceError, UserError

__all__ = ["call", "seconds"]

_TIMEOUT_S = 3600
_LAST_LINES = 6


def call(function: str, job: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What a function returns in a process of its own.

    Args:
        function: ``module:name``; it takes and returns what JSON can hold.
        job: its argument.
        label: what the process is for, in a message about its failure.

    Returns:
        Its result.

    Raises:
        ConfragError: it failed; of the kind that it failed with.
    """
    done = _run([sys.executable, "-m", "confrag.bench.child", function], label, json.dumps(job))
    result: dict[str, Any] = json.loads(done)
    return result


def seconds(code: str, label: str) -> float:
    """Wall time of ``python -c CODE``, from its start to its end. Raises what `call` does."""
    begun = time.perf_counter()
    _run([sys.executable, "-c", code], label, "")
    return time.perf_counter() - begun


def _run(command: list[str], label: str, given: str) -> str:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace") as process:
        try:
            told, complaints = process.communicate(given, _TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ConfragError(f"{label}: not done after {_TIMEOUT_S:,} s") from None
        finally:
            # After an interrupt, too: its files can be removed only when it is gone.
            process.kill()
            process.wait()
    if process.returncode == 0:
        return told
    lines = [line for line in complaints.splitlines() if line.strip()]
    last = "\n".join(f"  {line}" for line in lines[-_LAST_LINES:]) or "  (it said nothing)"
    kind = {UserError.exit_code: UserError, ServiceError.exit_code: ServiceError}.get(process.returncode, ConfragError)
    raise kind(f"{label} failed (exit code {process.returncode}):\n{last}")
