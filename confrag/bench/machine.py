"""The circumstances of a figure: the machine, and the versions of what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["machine", "versions"]


def machine() -> dict[str, str | float]:
    """System, processor, cores, memory in GB, and the mean load of the last minute, where they can be found out."""
    found: dict[str, str | float] = {"system": platform.platform(), "processor": _processor()}
    found["cores"] = os.cpu_count() or 1
    with suppress(AttributeError, ValueError, OSError):
        found["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
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
