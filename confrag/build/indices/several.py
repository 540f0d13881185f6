"""Search by several embeddings at once, in stores that search by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lazyllm.tools.rag.index_base import IndexBase

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode


class Searched(Protocol):
    """What LazyLLM's document stores can do."""

    def query(self, *, embed_keys: list[str], **asked: Any) -> list[DocNode]:
        """Nodes with their `similarity_score`, by each of the embeddings."""


class SeveralEmbeddings(IndexBase):  # type: ignore[misc]
    """Each node once, with the best of its scores by the embeddings.

    LazyLLM itself puts what its stores find by one embedding behind what they find by another: a node comes more than
    once, and there are more nodes than were asked for. With one embedding nothing changes.
    """

    def __init__(self, store: Searched) -> None:
        self._store = store

    def update(self, nodes: Sequence[DocNode]) -> None:
        """Nothing to do: the store has them."""

    def remove(self, uids: Sequence[str] | None, group_name: str | None = None) -> None:
        """Nothing to do: the store knows."""

    def query(
        self, query: str, *, embed_keys: Sequence[str] | None = None, topk: int | None = 10, **asked: Any
    ) -> list[DocNode]:
        """The `topk` nodes of the highest score, best first.

        Raises:
            StoreError: the store fails.
        """
        found: dict[str, DocNode] = {}
        for node in self._store.query(query=query, embed_keys=list(embed_keys or ()), topk=topk, **asked):
            known = found.get(node.uid)
            if known is None or (known.similarity_score or 0.0) < (node.similarity_score or 0.0):
                found[node.uid] = node
        return sorted(found.values(), key=lambda node: (-(node.similarity_score or 0.0), node.uid))[:topk]


__all__ = ["SeveralEmbeddings"]
