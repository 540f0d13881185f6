"""What chat models wrote about texts, once: an SQLite file below `state_dir`, shared by all collections and processes.

An entry is found by what it was made of, the task (model, prompt and the like) and the text, so it never becomes wrong.
Nothing is ever thrown out: a reply costs more than the few hundred bytes that it takes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

from confrag.build.shared_file import open_shared
from confrag.plan.compile import params_of_rows
from confrag.plan.model import GroupPlan, canonical
from confrag.runtime.embedding_cache import text_key

__all__ = ["ReplyCache", "reply_file", "task"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    task TEXT NOT NULL, text BLOB NOT NULL, reply TEXT NOT NULL, PRIMARY KEY (task, text)) WITHOUT ROWID;
"""
_VERSION = 1
_BATCH = 500
"""Keys in one query; SQLite allows 999 in its older builds."""


def reply_file(state_dir: str) -> Path:
    """Where the replies of a `state_dir` lie."""
    return Path(state_dir).expanduser().absolute() / "replies.sqlite3"


def task(group: GroupPlan, model: str) -> str:
    """What determines a reply beside the text, as 32 hexadecimal digits: the group's own name is no part of it.

    Args:
        group: whose nodes are written.
        model: fingerprint of the model, see `confrag.build.models.fingerprint`.
    """
    params = {key: value for key, value in params_of_rows(group).items() if key != "model"}
    return hashlib.sha256(canonical([group.kind, params, model]).encode()).hexdigest()[:32]


class ReplyCache:
    """The open file. Safe for threads, and for several processes at once.

    Args:
        path: the SQLite file; made when it does not exist.

    Raises:
        UserError: the file is of a newer version, or no cache at all.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = open_shared(path, _SCHEMA, _VERSION, "cache of replies")

    def get(self, task: str, texts: Sequence[str]) -> dict[str, str]:
        """Text -> reply, of those that are there."""
        keys = {text_key(text): text for text in texts}
        found: dict[str, str] = {}
        names = list(keys)
        with self._lock:
            for start in range(0, len(names), _BATCH):
                some = names[start : start + _BATCH]
                query = f"SELECT text, reply FROM replies WHERE task = ? AND text IN ({', '.join('?' * len(some))})"
                rows = self._database.execute(query, (task, *some))
                found.update((keys[key], reply) for key, reply in rows)
        return found

    def put(self, task: str, text: str, reply: str) -> None:
        """Keep a reply."""
        row = (task, text_key(text), reply.encode("utf-8", "replace").decode())
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", row)

    def __len__(self) -> int:
        """Number of replies."""
        with self._lock:
            return int(self._database.execute("SELECT count(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
