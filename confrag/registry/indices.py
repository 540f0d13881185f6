"""Which vector indices, with which metrics, each kind of Milvus has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confrag.errors import nearest

__all__ = ["METRICS", "MILVUS_FILE", "MILVUS_SERVER", "IndexTable"]

METRICS: Mapping[str, tuple[str, ...]] = {
    "floating": ("COSINE", "IP", "L2"),
    "sparse": ("IP",),
    "binary": ("HAMMING", "JACCARD"),
}
"""Sort of vectors -> what they are compared by, the default one first."""


@dataclass(frozen=True)
class IndexTable:
    """The indices of a backend.

    Attributes:
        backend: what has them, as a sentence begins with it.
        types: sort of vectors (`floating`, `sparse`, `binary`) -> index types, the default one first.
    """

    backend: str
    types: Mapping[str, tuple[str, ...]]

    def sort(self, index_type: str) -> str | None:
        """The sort of vectors that an index type is for; None for a type that the backend does not have."""
        return next((sort for sort, types in self.types.items() if index_type in types), None)

    def refuse_type(self, index_type: str, vectors: str | None = None) -> str | None:
        """Why vectors of a sort (None: of any) cannot have this index; None when they can."""
        sort = self.sort(index_type)
        if sort is None:
            close = nearest(index_type, self.names)
            hint = f" Did you mean '{close}'?" if close else ""
            elsewhere = " A Milvus server has it." if MILVUS_SERVER.sort(index_type) else ""
            return f"there is no such index here.{elsewhere or hint} {self}"
        if vectors is not None and sort != vectors:
            return f"an index of {sort} vectors, and the embedding gives {vectors} ones. {self}"
        return None

    def refuse_metric(self, index_type: str, metric: str) -> str | None:
        """Why an index does not compare by this metric; None when it does."""
        allowed = METRICS[self.sort(index_type) or "floating"]
        return None if metric in allowed else f"{index_type} does not compare by this metric. {self}"

    @property
    def names(self) -> tuple[str, ...]:
        """All index types."""
        return tuple(name for types in self.types.values() for name in types)

    def __str__(self) -> str:
        rows = (
            f"for {sort} vectors {', '.join(types)} (metric {', '.join(METRICS[sort])})"
            for sort, types in self.types.items()
        )
        return f"{self.backend} has {'; '.join(rows)}"


MILVUS_FILE = IndexTable(
    "A Milvus Lite file",
    {
        "floating": ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX"),
        "sparse": ("SPARSE_INVERTED_INDEX",),
    },
)
MILVUS_SERVER = IndexTable(
    "A Milvus server",
    {
        "floating": (
            "FLAT",
            "IVF_FLAT",
            "IVF_SQ8",
            "IVF_PQ",
            "GPU_IVF_FLAT",
            "GPU_IVF_PQ",
            "HNSW",
            "DISKANN",
            "AUTOINDEX",
        ),
        "sparse": ("SPARSE_INVERTED_INDEX", "SPARSE_WAND"),
        "binary": ("BIN_FLAT", "BIN_IVF_FLAT"),
    },
)
