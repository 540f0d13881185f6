"""Where figures were taken: the machine, and the versions of what they depend on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

__all__ = ["machine", "versions"]


def machine(*, load: bool = False) -> dict[str, str | float]:
    """Processor, cores, memory in GB and system.

    Args:
        load: add the mean load of the last minute, where the system knows it: times depend on it, results do not.
    """
    found: dict[str, str | float] = {
        "cpu": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "platform": platform.platform(),
    }
    if load:
        with suppress(AttributeError, OSError):
            found["load_1min"] = round(os.getloadavg()[0], 1)
    return found


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
