"""Stored nodes in memory, for the tests of indices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from confrag.build.indices.group import Place
from confrag.build.indices.nodes import NodeReader

from lazyllm.tools.rag import DocNode  # isort: skip

GROUP = "group"
KEY = "dense"


class Nodes:
    """Stored nodes, in a dictionary; `read` holds the uids of every text and vector that was asked for."""

    def __init__(self, held: Mapping[str, Any]) -> None:
        self.held = dict(held)
        self.read: list[str] = []

    def nodes(self, group: str, uids: Sequence[str]) -> list[DocNode]:
        return [DocNode(uid, f"text {uid}", group) for uid in uids if uid in self.held]

    def uids(self, group: str) -> list[str]:
        return sorted(self.held)

    def texts(self, group: str, uids: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
        wanted = sorted(self.held) if uids is None else list(uids)
        self.read += wanted
        return iter([(uid, self.held[uid]) for uid in wanted])

    def matching(self, group: str, filters: Mapping[str, Any]) -> set[str]:
        return {uid for uid in self.held if re.search(filters["like"], uid)}

    def vectors(self, group: str, embed_key: str, uids: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
        wanted = [uid for uid in (self.held if uids is None else uids) if self.held[uid] is not None]
        self.read += wanted
        return wanted, np.array([self.held[uid] for uid in wanted], np.float32)


def place(nodes: NodeReader, folder: Path | None = None, embed: Callable[[str], Any] | None = None) -> Place:
    """What an index named ``mine`` is built for; of vectors, if `embed` is given."""
    key = KEY if embed else None
    return Place("mine", GROUP, nodes, embed_key=key, embed=embed, made_by="a model" if embed else "", folder=folder)


def written(nodes: Nodes, **changes: Any) -> list[DocNode]:
    """Write nodes, as an ingest does."""
    nodes.held.update(changes)
    return [DocNode(uid, f"text {uid}", GROUP) for uid in changes]
