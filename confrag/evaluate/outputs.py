"""The files of an evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from confrag.config import Composed
from confrag.evaluate.written import write_json, write_lines

__all__ = ["head", "now", "overrides", "write_config", "write_document", "write_failure", "write_rows"]

DOCUMENT, ROWS, RUN, CONFIG = "eval.json", "queries.jsonl", "run.trec", "config.yaml"
FORMAT = 1
"""Of ``eval.json``."""
_OF_THE_CALL = ("query", "queries_file", "output", "progress", "resume", "verbose", "debug", "objective")
_COLUMNS = (
    "id",
    "query",
    "gold",
    "ranking",
    "metrics",
    "answer",
    "sources",
    "citations",
    "timings_ms",
    "tokens",
    "spent",
    "cached",
    "partial",
    "error",
)


def overrides(composed: Composed) -> list[str]:
    """What the caller set of the configuration, as it is typed."""
    typed = [override.lstrip("+") for override in composed.overrides]
    return [override for override in typed if override.partition("=")[0] not in _OF_THE_CALL]


def write_config(folder: Path, composed: Composed) -> None:
    """The resolved configuration."""
    text = yaml.safe_dump(composed.data, sort_keys=False, allow_unicode=True)
    write_lines(folder / CONFIG, text.rstrip("\n").split("\n"))


def write_document(folder: Path, document: Mapping[str, Any]) -> None:
    """The figures. Written last: where they are, the rest is."""
    write_json(folder / DOCUMENT, document)


def head(composed: Composed) -> dict[str, Any]:
    """What every ``eval.json`` begins with."""
    return {"format": FORMAT, "conf": composed.name, "overrides": overrides(composed)}


def write_failure(folder: Path, composed: Composed, error: Exception, started: str) -> None:
    """That there are no figures, and why."""
    code = getattr(error, "exit_code", 1)
    told = {"status": "failed", "error": str(error) or type(error).__name__, "exit_code": code}
    times = {"started": started, "ended": now()}
    write_json(folder / DOCUMENT, {**head(composed), "key": None, **told, "provenance": times})


def now() -> str:
    """The time, as ISO 8601 has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]], tag: str) -> None:
    """The queries, and their rankings as a run file of TREC."""
    others = [column for row in rows for column in row if column not in (*_COLUMNS, "exit_code")]
    columns = [*_COLUMNS, *dict.fromkeys(others)]
    lines = [{name: row[name] for name in columns if name in row} for row in rows]
    write_lines(folder / ROWS, (json.dumps(line, ensure_ascii=False) for line in lines))
    write_lines(folder / RUN, _run(rows, tag))


def _run(rows: Iterable[Mapping[str, Any]], tag: str) -> Iterator[str]:
    # Programs that read it sort by the score, so that this must say the order: scores of a merge or reranker may tie.
    for row in rows:
        for rank, (document, _) in enumerate(row["ranking"], start=1):
            yield f"{row['id']} Q0 {_in_a_column(document)} {rank} {1.0 / rank:.9f} {tag}"


def _in_a_column(document: str) -> str:
    """Columns are parted by white space, which the name of a file may hold."""
    return re.sub(r"\s", lambda space: quote(space[0]), document)
