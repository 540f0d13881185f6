"""SQLite files below `state_dir` that several processes read and write at once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from confrag.errors import UserError

__all__ = ["PATIENCE_S", "open_shared"]

PATIENCE_S = 60
"""How long another process may hold a file."""


def open_shared(path: Path, schema: str, version: int, what: str, page_size: int = 4096) -> sqlite3.Connection:
    """Open a file, or make it. Transactions are the caller's; the connection may be used by any thread, one at a time.

    Args:
        path: of the file.
        schema: SQL that makes what is not there.
        version: of the schema; a file of an older one gets the schema once more.
        what: how errors name it, for instance ``embedding cache``.
        page_size: of a new file, in bytes.

    Raises:
        UserError: the file is of a newer version, or is something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=PATIENCE_S, check_same_thread=False, isolation_level=None)
    try:
        _open_patiently(database, path, schema, version, page_size)
    except sqlite3.DatabaseError as error:
        database.close()
        raise UserError(f"{path} cannot be used as {what}: {error}. Delete it; it fills again") from None
    except BaseException:
        database.close()
        raise
    return database


def _open_patiently(database: sqlite3.Connection, path: Path, schema: str, version: int, page_size: int) -> None:
    """Processes that make the file at once get in each other's way, and SQLite does not wait for all of that."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _prepare(database, path, schema, version, page_size)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _prepare(database: sqlite3.Connection, path: Path, schema: str, version: int, page_size: int) -> None:
    database.execute(f"PRAGMA page_size = {page_size}")
    database.execute("PRAGMA journal_mode = WAL")
    # A power cut may lose the last entries, which are then made again.
    database.execute("PRAGMA synchronous = NORMAL")
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found > version:
        raise UserError(
            f"{path} was written by a newer confrag (version {found}, this one knows {version}). "
            "Update confrag, or use another state_dir"
        )
    if found < version:  # else not a byte is written: `confrag plan` opens it, too
        database.executescript(schema)
        database.execute(f"PRAGMA user_version = {version}")
