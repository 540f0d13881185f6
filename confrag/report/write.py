"""The files of a report."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from confrag.errors import UserError
from confrag.report.model import Results
from confrag.report.page import html

__all__ = ["as_csv", "write"]


def write(data: Mapping[str, Any], results: Results, folder: Path) -> tuple[Path, ...]:
    """Write ``report.html``, ``report.json`` and ``report.csv``, each as a whole or not at all.

    Returns:
        Their paths.

    Raises:
        UserError: a file cannot be written.
    """
    contents = {
        "report.html": html(data, results),
        "report.json": json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "report.csv": as_csv(data),
    }
    for name, text in contents.items():
        path = folder / name
        unfinished = path.with_name(f".{name}.{os.getpid()}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(text, "utf-8", newline="")
            unfinished.replace(path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    return tuple(folder / name for name in contents)


def as_csv(data: Mapping[str, Any]) -> str:
    """The leaderboard, a line a job; figures in full."""
    keys = list(dict.fromkeys(o.partition("=")[0] for job in data["jobs"] for o in job["overrides"]))
    head = ["rank", "group", "name", *keys]
    for metric in data["metrics"]:
        head += [metric, f"{metric}_low", f"{metric}_high"]
    head += ["n", "against_best", "p_holm", "latency_ms_p50", "latency_ms_p95", "tokens_per_query", "cost_per_1000",
             "currency", "cache_hit_rate", "pareto", "folder"]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    for job in data["jobs"]:
        assigned = dict(o.partition("=")[::2] for o in job["overrides"])
        line = [job["rank"], job["group"], job["name"], *(assigned.get(key, "") for key in keys)]
        for metric in data["metrics"]:
            found = job["metrics"].get(metric)
            line += [found["mean"], *found["interval"]] if found else ["", "", ""]
        against, total = job["against_best"] or {}, job["latency_ms"].get("total") or {}
        measured = job["metrics"].get(data["metric"], {})
        line += [measured.get("n"), against.get("difference"), against.get("p_holm"), total.get("p50"),
                 total.get("p95"), job["tokens_per_query"], job["cost_per_1000"], job["currency"],
                 job["cache_hit_rate"], job["pareto"], job["folder"]]  # fmt: skip
        writer.writerow([_safe(cell) for cell in line])
    return out.getvalue()


def _safe(cell: Any) -> Any:
    """Spreadsheets run a text that begins like a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
