"""Exact search over vectors in memory, for the map store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from lazyllm.tools.rag.index_base import IndexBase
from numpy.typing import NDArray

from confrag.build.indices.nodes import NodeReader, best
from confrag.errors import StoreError, UserError
from confrag.schema.filters import Filters

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode

Vectors = NDArray[np.float32]


class ExactIndex(IndexBase):  # type: ignore[misc]
    """Compares a query with every vector of a group: exact, and about a millisecond for 10,000 of 384 dimensions.

    Takes the place of LazyLLM's `DefaultIndex`. The vectors of a group are read from the store at its first query
    and kept as one matrix; what is written or removed later changes that. Safe for threads.

    Args:
        nodes: the stored nodes, with their vectors.
        embed: the embedding functions of a query, by embedding key.
    """

    def __init__(self, nodes: NodeReader, embed: Mapping[str, Callable[[str], Any]]) -> None:
        self._nodes = nodes
        self._embed = dict(embed)
        self._tables: dict[tuple[str, str], _Table] = {}
        self._guard = threading.RLock()

    def update(self, nodes: Sequence[DocNode]) -> None:
        """Take in nodes that were written to the store, with their embeddings."""
        with self._guard:
            # A group that was not queried yet is read as a whole when it is.
            for (group, key), table in self._tables.items():
                held = [n for n in nodes if n.group == group and key in (n.embedding or {})]
                if held:
                    table.put([n.uid for n in held], np.asarray([n.embedding[key] for n in held], np.float32))

    def remove(self, uids: Sequence[str] | None, group_name: str | None = None) -> None:
        """Forget nodes that were removed from the store; a whole group when `uids` is None."""
        with self._guard:
            for group, key in list(self._tables):
                if group_name not in (None, group):
                    continue
                if uids is None:
                    del self._tables[group, key]
                else:
                    self._tables[group, key].remove(uids)

    def query(
        self,
        query: str,
        group_name: str,
        similarity_name: str | None = "cosine",
        similarity_cut_off: float | Mapping[str, float] = float("-inf"),
        topk: int | None = 10,
        embed_keys: Sequence[str] | None = None,
        filters: Filters | None = None,
        **kwargs: Any,
    ) -> list[DocNode]:
        """The `topk` nodes of the highest cosine, best first, each with its `similarity_score`.

        With several embeddings a node has the highest of its cosines. Nodes below the cut-off are left out.

        Raises:
            UserError: another similarity than cosine, or an unknown embedding.
            StoreError: the vectors and the query differ in dimension, or the store fails.
        """
        if similarity_name not in (None, "cosine"):
            raise UserError(f"similarity '{similarity_name}' is not one of vectors: name the index that serves it")
        keys = list(embed_keys or self._embed)
        if unknown := [key for key in keys if key not in self._embed]:
            raise UserError(f"embedding '{unknown[0]}' is not one of the document's: {', '.join(self._embed)}")
        # Outside the lock: a model may take its time.
        queries = {key: _unit(np.asarray(_dense(key, self._embed[key](query)), np.float32)) for key in keys}
        within = self._nodes.matching(group_name, filters) if filters else None
        scores: dict[str, float] = {}
        for key, vector in queries.items():
            cut_off = similarity_cut_off[key] if isinstance(similarity_cut_off, Mapping) else similarity_cut_off
            for uid, score in self._search(group_name, key, vector, topk, within):
                if score >= cut_off:
                    scores[uid] = max(score, scores.get(uid, score))
        ranked = sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:topk]
        nodes = self._nodes.nodes(group_name, [uid for uid, _ in ranked])
        return [node.with_sim_score(score) for node, (_, score) in zip(nodes, ranked, strict=True)]

    def _search(
        self, group: str, key: str, vector: Vectors, topk: int | None, within: set[str] | None
    ) -> list[tuple[str, float]]:
        with self._guard:
            table = self._tables.get((group, key))
            if table is None:
                table = self._tables[group, key] = _Table(*self._nodes.vectors(group, key))
            uids, matrix = table.uids, table.matrix
            if not uids:
                return []
            if matrix.shape[1] != vector.shape[0]:
                raise StoreError(
                    f"the vectors '{key}' of group '{group}' have {matrix.shape[1]} dimensions, that of the query "
                    f"{vector.shape[0]}: they come from different models; ingest again"
                )
            # Not BLAS: its threads stall on a busy machine, and rows would differ in the last bit by their place.
            scores: Vectors = np.einsum("ij,j->i", matrix, vector)
            if within is None:
                return best(uids, scores, topk)
            rows = np.fromiter((row for row, uid in enumerate(uids) if uid in within), np.intp)
            return best([uids[row] for row in rows], scores[rows], topk)


class _Table:
    """Unit vectors by uid: a matrix that doubles when it is full, whose last row fills the gap of a removed one."""

    def __init__(self, uids: Sequence[str], vectors: Vectors) -> None:
        self.uids = list(uids)
        self._rows = {uid: row for row, uid in enumerate(self.uids)}
        self._held = _unit(vectors)

    @property
    def matrix(self) -> Vectors:
        return self._held[: len(self.uids)]

    def put(self, uids: Sequence[str], vectors: Vectors) -> None:
        new = [uid for uid in dict.fromkeys(uids) if uid not in self._rows]
        needed = len(self.uids) + len(new)
        if needed > len(self._held):
            grown = np.empty((max(needed, 2 * len(self._held)), vectors.shape[1]), np.float32)
            if self.uids:
                grown[: len(self.uids)] = self.matrix
            self._held = grown
        for uid in new:
            self._rows[uid] = len(self.uids)
            self.uids.append(uid)
        self._held[[self._rows[uid] for uid in uids]] = _unit(vectors)

    def remove(self, uids: Sequence[str]) -> None:
        for uid in uids:
            row = self._rows.pop(uid, None)
            if row is None:
                continue
            last = self.uids.pop()
            if last != uid:
                self._held[row] = self._held[len(self.uids)]
                self.uids[row] = last
                self._rows[last] = row


def _unit(vectors: Vectors) -> Vectors:
    """Vectors of length one; a zero vector stays zero and has cosine 0 with everything."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return units


def _dense(key: str, vector: Any) -> Any:
    if isinstance(vector, Mapping):
        raise UserError(f"embedding '{key}' is sparse, and the map store compares dense vectors only")
    return vector
