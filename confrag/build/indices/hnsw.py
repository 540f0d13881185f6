"""Nearest vectors in a graph (Malkov and Yashunin, TPAMI 2020), by hnswlib."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from confrag.build.indices.group import GroupIndex, Place
from confrag.build.indices.nodes import best
from confrag.build.indices.snapshot import Kept
from confrag.build.stores.vectors import similarity_from_distance
from confrag.errors import StoreError, UserError

__all__ = ["HNSWIndex", "build"]

Vectors = NDArray[np.float32]

_BATCH = 10_000
"""Vectors that are read from the store at a time."""
_FEW = 64
"""With fewer nodes to choose from, each is compared: the graph would be walked through as a whole to find them."""
_STALE_SHARE = 1 / 3
"""When more of the graph than this are deleted nodes, it is built anew without them."""
_SEED = 100


def build(
    place: Place,
    *,
    M: int,  # noqa: N803  (hnswlib's name)
    ef_construction: int,
    ef: int,
    space: str,
    num_threads: int | None,
) -> HNSWIndex:
    """An index of kind ``hnsw``."""
    return HNSWIndex(place, M=M, ef_construction=ef_construction, ef=ef, space=space, num_threads=num_threads)


class HNSWIndex(GroupIndex):
    """A graph of vectors in memory, kept on disk as hnswlib writes it.

    Its capacity doubles when it is full. A deleted node stays in the graph as a way to others and is never found.

    Args:
        place: what it is built for.
        M: links of a node on each layer.
        ef_construction: candidates for the links of a new node.
        ef: candidates of a search, at least.
        space: ``cosine``, ``ip`` or ``l2``; scores as a Milvus store has them.
        num_threads: that build it; None: one for each core.
    """

    def __init__(
        self,
        place: Place,
        *,
        M: int,  # noqa: N803  (hnswlib's name)
        ef_construction: int,
        ef: int,
        space: str,
        num_threads: int | None,
    ) -> None:
        made = {"M": M, "ef_construction": ef_construction, "space": space, "hnswlib": version("hnswlib")}
        super().__init__(place, place.snapshot(kind="hnsw", **made))
        self._construction = {"M": M, "ef_construction": ef_construction, "random_seed": _SEED}
        self._ef = ef
        self._space = space
        self._threads = num_threads or -1
        self.clear()

    def clear(self) -> None:
        """Forget every vector."""
        self._graph: Any = None
        self._labels: dict[str, int] = {}
        self._uids: list[str] = []  # by label; of deleted nodes, too

    def held(self) -> Mapping[str, int]:
        """Uid -> label."""
        return self._labels

    def change(self, gone: Sequence[str], new: Sequence[str]) -> None:
        """Delete and add vectors; build the graph anew when too much of it would be deleted nodes."""
        size = len(self._uids) + len(new)
        if gone and size - len(self._labels) - len(new) + len(gone) > _STALE_SHARE * size:
            known = set(gone)
            new = [*(uid for uid in self._labels if uid not in known), *new]
            gone = ()
            self.clear()
        for uid in gone:
            self._graph.mark_deleted(self._labels.pop(uid))
        for start in range(0, len(new), _BATCH):
            self._add(new[start : start + _BATCH], len(new))

    def restore(self, kept: Kept) -> None:
        """Take over a graph from disk."""
        head = json.loads(kept.path("nodes.json").read_text("utf-8"))
        graph = None
        if head["uids"]:
            graph = hnswlib.Index(space=self._space, dim=int(head["dim"]))
            graph.load_index(str(kept.path("graph.bin")))
            if graph.get_current_count() != len(head["uids"]):
                raise ValueError("the graph has another number of nodes")
        deleted = set(head["deleted"])
        self._graph, self._uids = graph, head["uids"]
        self._labels = {uid: label for label, uid in enumerate(self._uids) if label not in deleted}

    def fill(self, folder: Path) -> None:
        """Write the graph."""
        live = set(self._labels.values())
        deleted = [label for label in range(len(self._uids)) if label not in live]
        head = {"uids": self._uids, "deleted": deleted, "dim": self._graph.dim if self._graph else 0}
        (folder / "nodes.json").write_text(json.dumps(head), "utf-8")
        if self._uids:
            self._graph.save_index(str(folder / "graph.bin"))

    def prepare(self, query: str) -> Vectors:
        """The vector of the question, `[dim] float32`."""
        assert self.place.embed is not None
        vector = self.place.embed(query)
        if isinstance(vector, Mapping):
            raise UserError(
                f"indices.{self.place.name}: embedding '{self.place.embed_key}' is sparse, and kind hnsw compares "
                "dense vectors only"
            )
        return np.asarray(vector, np.float32)

    def ranked(self, query: Vectors, topk: int | None, within: set[str] | None) -> list[tuple[str, float]]:
        """The nearest nodes, as far as the graph leads to them; exactly the nearest of a few."""
        among: Collection[str] = self._labels if within is None else within & self._labels.keys()
        if not among:
            return []
        if self._graph.dim != len(query):
            raise StoreError(
                f"indices.{self.place.name}: the vectors '{self.place.embed_key}' of group '{self.group}' have "
                f"{self._graph.dim} dimensions, that of the query {len(query)}: they come from different models; "
                "ingest again"
            )
        count = len(among) if topk is None else min(topk, len(among))
        if within is not None and len(among) <= max(_FEW, count):
            return self._compared(query, sorted(among), topk)
        allowed = None if within is None else {self._labels[uid] for uid in among}.__contains__
        self._graph.set_ef(max(self._ef, count))
        try:
            labels, distances = self._graph.knn_query(query, k=count, num_threads=1, filter=allowed)
        except RuntimeError:  # the graph leads to fewer than that
            return self._compared(query, sorted(among), topk)
        return best([self._uids[label] for label in labels[0]], self._scores(distances[0]), topk)

    def _add(self, uids: Sequence[str], expected: int) -> None:
        found, vectors = self.nodes.vectors(self.group, str(self.place.embed_key), uids)
        if not found:
            return
        size = len(self._uids) + len(found)
        if self._graph is None:
            self._graph = hnswlib.Index(space=self._space, dim=vectors.shape[1])
            self._graph.init_index(max_elements=max(size, expected), **self._construction)
        elif size > self._graph.max_elements:
            self._graph.resize_index(max(size, 2 * self._graph.max_elements))
        labels = range(len(self._uids), size)
        self._graph.add_items(vectors, np.fromiter(labels, np.int64), num_threads=self._threads)
        self._uids += found
        self._labels.update(zip(found, labels, strict=True))

    def _compared(self, query: Vectors, uids: Sequence[str], topk: int | None) -> list[tuple[str, float]]:
        """The nearest of some nodes, each compared."""
        found, vectors = self.nodes.vectors(self.group, str(self.place.embed_key), uids)
        if self._space == "l2":
            distances = ((vectors - query) ** 2).sum(axis=1)
        else:
            scale = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query) if self._space == "cosine" else 1.0
            products = vectors @ query
            distances = 1 - np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
        return best(found, self._scores(distances), topk)

    def _scores(self, distances: Vectors) -> Vectors:
        if self._space == "l2":
            return np.array([similarity_from_distance(float(distance)) for distance in distances], np.float32)
        return 1 - distances
