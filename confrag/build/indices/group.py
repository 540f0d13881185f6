"""The base of the indices that a configuration declares: one node group, LazyLLM's interface."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lazyllm.tools.rag.index_base import IndexBase

from confrag.build.indices.mirror import Mirror
from confrag.build.indices.nodes import NodeReader, best
from confrag.build.indices.snapshot import Snapshot
from confrag.errors import UserError
from confrag.schema.filters import Filters

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode

__all__ = ["GroupIndex", "Place", "TextIndex"]


@dataclass(frozen=True)
class Place:
    """What an index is built for: the first argument of the builder of a kind, in front of its keys.

    Attributes:
        name: of the index, in the configuration.
        group: the node group that it finds.
        nodes: the stored nodes.
        embed_key: the embedding that it searches; None for an index of texts.
        embed: gives the vector of a question; None for an index of texts.
        made_by: what the vectors come from, by content; empty for an index of texts.
        folder: where it may keep itself; None: in memory only.
    """

    name: str
    group: str
    nodes: NodeReader
    embed_key: str | None = None
    embed: Callable[[str], Any] | None = None
    made_by: str = ""
    folder: Path | None = None

    def snapshot(self, **parameters: Any) -> Snapshot | None:
        """Where it is kept, when it was made with these parameters."""
        if self.folder is None:
            return None
        return Snapshot(self.folder, {"group": self.group, "embed": [self.embed_key, self.made_by], **parameters})


class GroupIndex(Mirror, IndexBase):  # type: ignore[misc]
    """An index of one node group, kept in line with the store by `Mirror`; what is left to do is `ranked`.

    Args:
        place: what it is built for.
        snapshot: where it is kept; None: in memory only.
    """

    def __init__(self, place: Place, snapshot: Snapshot | None = None) -> None:
        super().__init__(place.nodes, place.group, snapshot)
        self.place = place

    @abstractmethod
    def ranked(self, query: Any, topk: int | None, within: set[str] | None) -> list[tuple[str, float]]:
        """Uids and scores of the `topk` best nodes (all when None), best first and equals by uid.

        Called alone, and in line with the store.

        Args:
            query: what `prepare` makes of the question.
            topk: how many.
            within: uids that may be found; None: any.
        """

    def prepare(self, query: str) -> Any:
        """The question as `ranked` wants it: what takes time, and needs no index, while others may use it."""
        return query

    def query(
        self,
        query: str,
        group_name: str,
        similarity_name: str | None = None,
        similarity_cut_off: float | Mapping[str, float] = float("-inf"),
        topk: int | None = 10,
        embed_keys: Sequence[str] | None = None,
        filters: Filters | None = None,
        **kwargs: Any,
    ) -> list[DocNode]:
        """The `topk` best nodes, best first, each with its `similarity_score`; none below the cut-off.

        Raises:
            UserError: a node group or an embedding that it does not hold.
            StoreError: the store fails, or does not fit to the question.
        """
        if group_name != self.group:
            raise UserError(f"indices.{self.place.name} finds nodes of group '{self.group}', not of '{group_name}'")
        key = self.place.embed_key
        if key is not None and embed_keys and list(embed_keys) != [key]:
            raise UserError(f"indices.{self.place.name} searches the embedding '{key}', not {', '.join(embed_keys)}")
        cut_off = similarity_cut_off
        if isinstance(cut_off, Mapping):
            if key is None:
                raise UserError(f"indices.{self.place.name} has no embeddings: its similarity_cut_off must be a number")
            cut_off = cut_off[key]
        within = self.nodes.matching(group_name, filters) if filters else None
        prepared = self.prepare(query)
        with self.current():
            ranked = self.ranked(prepared, topk, within)
        ranked = [(uid, score) for uid, score in ranked if score >= cut_off]
        nodes = self.nodes.nodes(group_name, [uid for uid, _ in ranked])
        # They were read for this question alone, so that they need not be copied, which takes longer than finding them.
        for node, (_, score) in zip(nodes, ranked, strict=True):
            node.similarity_score = score
        return nodes


class TextIndex(GroupIndex):
    """An index of texts: what is left to do is `put`, `drop` and `scores`.

    It is made anew of the stored texts at each start; nothing is kept on disk.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.texts: dict[str, str] = {}

    @abstractmethod
    def put(self, uid: str, text: str) -> None:
        """Take in a node."""

    @abstractmethod
    def drop(self, uid: str, text: str) -> None:
        """Forget a node, which was put in with this text."""

    @abstractmethod
    def scores(self, query: str) -> Mapping[str, float]:
        """Uid -> score, higher is better, of every node that the question finds."""

    def held(self) -> Mapping[str, str]:
        """Uid -> text."""
        return self.texts

    def change(self, gone: Sequence[str], new: Sequence[str]) -> None:
        """Forget and take in texts."""
        for uid in gone:
            self.drop(uid, self.texts.pop(uid))
        for uid, text in self.nodes.texts(self.group, new if self.texts else None):
            self.texts[uid] = text
            self.put(uid, text)

    def clear(self) -> None:
        """Forget every text."""
        while self.texts:
            self.drop(*self.texts.popitem())

    def ranked(self, query: str, topk: int | None, within: set[str] | None) -> list[tuple[str, float]]:
        """The best of `scores`."""
        found = self.scores(query)
        uids = [uid for uid in found if within is None or uid in within]
        return best(uids, np.array([found[uid] for uid in uids], np.float64), topk)
