"""Reports: what the folders of evaluated jobs say when they are compared."""

from __future__ import annotations

from confrag.report.build import build
from confrag.report.model import Job, Results, Sweep
from confrag.report.page import html
from confrag.report.read import read
from confrag.report.table import table
from confrag.report.write import write

__all__ = ["Job", "Results", "Sweep", "build", "html", "read", "table", "write"]
