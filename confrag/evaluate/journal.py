"""What an evaluation has done so far, kept query by query, so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, Timeout

from confrag.errors import UserError
from confrag.evaluate.written import write_json

__all__ = ["Journal"]


class Journal:
    """The rows of one evaluation, in a folder of its own. `add` is safe for threads.

    Attributes:
        rows: query id -> row, of the queries that were answered.
        about: what is known of the evaluation beside its rows; empty until the corpus was ingested.
    """

    def __init__(self, folder: Path) -> None:
        self._rows, self._about = folder / "queries.jsonl", folder / "about.json"
        self._file: TextIO | None = None
        self._lock = threading.Lock()
        self.rows: dict[str, dict[str, Any]] = {}
        self.about: dict[str, Any] = {}

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, *, resume: bool, waiting: Callable[[], None] = lambda: None) -> Iterator[Journal]:
        """A journal that nobody else has open: another evaluation of the same waits.

        Args:
            folder: where it is; made if it is not there.
            resume: keep what is in it; else it begins empty.
            waiting: called when it has to wait.

        Raises:
            UserError: it cannot be written.
        """
        journal, lock = cls(folder), FileLock(folder / "lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                waiting()
                lock.acquire()
            file = journal._begin(resume)
        except OSError as error:
            lock.release()
            raise UserError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
        try:
            with file:
                yield journal
        finally:
            lock.release()

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a row."""
        with self._lock:
            assert self._file is not None
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()
            self.rows[row["id"]] = dict(row)

    def describe(self, about: Mapping[str, Any]) -> None:
        """Keep what is known beside the rows."""
        self.about = dict(about)
        write_json(self._about, self.about)

    def _begin(self, resume: bool) -> TextIO:
        if resume:
            self.rows = {row["id"]: row for row in _readable(self._rows) if row.get("error") is None}
            self.about = next(iter(_readable(self._about)), {})
        else:
            self._about.unlink(missing_ok=True)
        # Without what a kill has left of a last line, and without the queries that failed.
        with self._rows.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows.values())
        self._file = self._rows.open("a", encoding="utf-8")
        return self._file


def _readable(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in the lines of a file, or the one that is the whole file."""
    if not path.is_file():
        return
    text = path.read_text("utf-8", errors="replace")
    for part in text.split("\n") if path.suffix == ".jsonl" else [text]:
        try:
            yield json.loads(part)
        except ValueError:
            continue
