"""Reports: what the folders of evaluated jobs say when they are compared."""

from __future__ import annotations

from confrag.report.build import build
from confrag.report.model import Job, Results, Sweep
from confrag.report.read import read
from confrag.report.table import table

__all__ = ["Job", "Results", "Sweep", "build", "read", "table"]
