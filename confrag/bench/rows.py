"""How much lies in a store: read from its files by the store's own client, whoever wrote them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

__all__ = ["count", "count_all"]


def count_all(places: Mapping[str, str]) -> dict[str, list[int]]:
    """For each name the rows of text and the vectors below its folder; see `count`."""
    return {name: list(count(Path(folder))) for name, folder in places.items()}


def count(folder: Path) -> tuple[int, int]:
    """Rows of text and vectors below a folder, in SQLite, Chroma and Milvus Lite. No other process may have it open."""
    texts = vectors = 0
    for path in sorted(folder.rglob("*")):
        if path.name == "chroma.sqlite3":
            vectors += _chroma(path.parent)
        elif path.suffix == ".db" and path.is_dir():
            vectors += _milvus(path)
        elif path.suffix == ".db":
            for columns, rows in _tables(path):
                if "vector" in columns:
                    vectors += rows
                elif "uid" in columns:
                    texts += rows
    return texts, vectors


def _tables(path: Path) -> Iterator[tuple[set[str], int]]:
    """Columns and number of rows of each table."""
    with closing(sqlite3.connect(path)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = {str(row[1]) for row in database.execute(f'PRAGMA table_info("{name}")')}
            yield columns, int(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])


def _chroma(folder: Path) -> int:
    import chromadb

    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(folder), settings=settings)
    return sum(collection.count() for collection in client.list_collections())


def _milvus(path: Path) -> int:
    from pymilvus import MilvusClient

    with closing(MilvusClient(str(path))) as client:
        total = 0
        for name in client.list_collections():
            client.load_collection(name)
            counted: Any = client.query(name, filter="", output_fields=["count(*)"])
            total += int(counted[0]["count(*)"])
        return total
