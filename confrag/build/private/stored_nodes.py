"""The stored nodes of a `Document`, as indices of our own read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from confrag.build.private.store import document_store, parts_of, segments_of
from confrag.errors import StoreError
from confrag.schema.filters import Filters

if TYPE_CHECKING:
    import numpy as np
    from lazyllm.tools.rag import DocNode, Document
    from numpy.typing import NDArray

__all__ = ["StoredNodes"]


class StoredNodes:
    """The nodes of a document by group, for indices of our own (see `confrag.build.indices.nodes.NodeReader`)."""

    def __init__(self, doc: Document) -> None:
        self._store = document_store(doc)

    def nodes(self, group: str, uids: Sequence[str]) -> list[DocNode]:
        """The nodes with these uids, in their order.

        Raises:
            StoreError: one of them is not stored.
        """
        if not uids:
            return []
        found = {node.uid: node for node in self._store.get_nodes(uids=list(uids), group=group)}
        missing = [uid for uid in uids if uid not in found]
        if missing:
            raise StoreError(
                f"{len(missing)} of {len(uids)} nodes that the index of group '{group}' found are not stored "
                f"(first: {missing[0]}): index and store are out of step; ingest again"
            )
        return [found[uid] for uid in uids]

    def node(self, group: str, uid: str) -> DocNode | None:
        """The node with this uid; None when there is none."""
        return next(iter(self._store.get_nodes(uids=[uid], group=group)), None)

    def children(self, group: str, parents: Sequence[str]) -> list[DocNode]:
        """The nodes of a group that were cut from these ones."""
        return list(self._store.get_nodes(group=group, parent=list(parents)))

    def numbered(self, group: str, document: str, numbers: Sequence[int]) -> list[DocNode]:
        """The nodes of a group with these numbers in a document, as far as there are such."""
        return list(self._store.get_nodes(group=group, doc_ids=[document], numbers=list(numbers))) if numbers else []

    def uids(self, group: str) -> list[str]:
        """Uids of the nodes of the group, in order."""
        return sorted(segments_of(self._store).uids(self._store._gen_collection_name(group), {}))

    def texts(self, group: str, uids: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
        """(uid, text) of the nodes of the group, by uid; of these only, where given."""
        return iter(segments_of(self._store).texts(self._store._gen_collection_name(group), uids))

    def matching(self, group: str, filters: Filters) -> set[str]:
        """Uids of the nodes whose document's metadata match."""
        found: set[str] = segments_of(self._store).matching(self._store._gen_collection_name(group), filters)
        return found

    def vectors(
        self, group: str, embed_key: str, uids: Sequence[str] | None = None
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Uids and vectors `[n, dim] float32` of the group; of these only, where given, in any order."""
        wanted = self.uids(group) if uids is None else uids
        found, matrix = parts_of(self._store)[-1].vectors(self._store._gen_collection_name(group), embed_key, wanted)
        return list(found), matrix
