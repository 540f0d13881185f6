"""The map store: text and vectors in memory or in one SQLite file, searched exactly by `ExactIndex`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lazyllm.tools.rag.store.store_base import StoreCapability
from numpy.typing import NDArray

from confrag.build.stores.failures import failing
from confrag.build.stores.segments import Segment, SegmentStore
from confrag.errors import StoreError

_VECTORS = """
CREATE TABLE IF NOT EXISTS vectors (
    collection TEXT NOT NULL, uid TEXT NOT NULL, embed_key TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (collection, uid, embed_key));
"""


def store_conf(directory: Path, *, uri: str | None = None) -> dict[str, Any]:
    """LazyLLM's store_conf of a strict map store.

    Args:
        directory: where the data goes that has no other place.
        uri: the SQLite file of text and vectors; ``map.db`` in `directory` when None.
    """
    return {"type": "confrag_map", "kwargs": {"uri": str(Path(uri).expanduser() if uri else directory / "map.db")}}


class ExactMapStore(SegmentStore):
    """`SegmentStore` that also keeps vectors, as float32, apart from the segments.

    It does not search: `ExactIndex` holds the vectors as one matrix and must be registered as ``default``.
    """

    __lazyllm_registry_key__ = "confrag_map"
    capability = StoreCapability.ALL
    supports_index_registration = True
    schema = SegmentStore.schema + _VECTORS

    def write(self, database: sqlite3.Connection, collection: str, data: Iterable[Segment]) -> None:
        """Write segments and their vectors within a transaction."""
        data = list(data)
        super().write(database, collection, data)
        database.executemany(
            "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)",
            (
                (collection, segment["uid"], key, _to_bytes(vector, key))
                for segment in data
                for key, vector in (segment.get("embedding") or {}).items()
            ),
        )

    def erase(self, database: sqlite3.Connection, collection: str, criteria: Mapping[str, Any]) -> None:
        """Delete segments and their vectors within a transaction."""
        where, values = self.where(criteria)
        uids = f"SELECT uid FROM segments WHERE collection = ?{where}"
        database.execute(
            f"DELETE FROM vectors WHERE collection = ? AND uid IN ({uids})", [collection, collection, *values]
        )
        super().erase(database, collection, criteria)

    def vectors(self, collection: str, embed_key: str, uids: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
        """Uids and vectors `[n, dim] float32` of those among some nodes that have one, by uid; `[0, 0]`: none has."""
        where, values = self.where({"uid": uids})
        query = f"SELECT uid, vector FROM vectors WHERE collection = ?{where} AND embed_key = ? ORDER BY uid"
        rows = self.rows(query, [collection, *values, embed_key])
        if not rows:
            return [], np.zeros((0, 0), np.float32)
        with failing(f"reading the vectors '{embed_key}' of collection '{collection}'", self.place):
            matrix = np.frombuffer(b"".join(vector for _, vector in rows), np.float32)
            return [uid for uid, _ in rows], matrix.reshape(len(rows), -1)

    def count_vectors(self, collection: str) -> int:
        """Number of vectors, of the embedding that has most."""
        query = "SELECT count(*) FROM vectors WHERE collection = ? GROUP BY embed_key"
        return max((int(row[0]) for row in self.rows(query, [collection])), default=0)


def _to_bytes(vector: Any, key: str) -> bytes:
    if isinstance(vector, Mapping):
        raise StoreError(f"the map store holds dense vectors only, and embedding '{key}' is sparse")
    return np.asarray(vector, np.float32).tobytes()
