"""From a plan to LazyLLM's Document: the store, the node groups, the embeddings."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lazyllm.tools.rag import Document, NodeTransform

from confrag.build.indices.exact import ExactIndex
from confrag.build.models.protocols import Embedder
from confrag.build.private import StoredNodes, activate, embeds, needs_index, register_index
from confrag.plan.model import GroupPlan, Plan
from confrag.registry import builder

if TYPE_CHECKING:
    from confrag.build.indices.lexical import LexicalIndex

__all__ = ["INDICES", "QueryEmbedding", "build_document", "build_store_conf", "build_transforms"]

INDICES: Mapping[str, str] = {"embedding": "default", "text": "lexical"}
"""Similarity mode -> the index that answers it."""


class QueryEmbedding:
    """An embedder as LazyLLM calls it: a question gives a list of floats, a list of texts a list of them.

    The vectors of the last questions are kept: the routes of a fan-out ask for the same one at the same time.
    """

    batch_size = 64
    """LazyLLM hands over one text at a time unless this is above 1."""

    def __init__(self, embedder: Embedder, remember: int = 64) -> None:
        self._embedder = embedder
        self._remember = remember
        self._known: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, text: str | Sequence[str]) -> list[Any]:
        """Embed a question, or the texts of a corpus."""
        if not isinstance(text, str):
            return [vector.tolist() for vector in self._embedder.passages(text)]
        with self._lock:
            if text not in self._known:
                self._known[text] = self._embedder.query(text).tolist()
                if len(self._known) > self._remember:
                    self._known.popitem(last=False)
            self._known.move_to_end(text)
            return self._known[text]


def build_store_conf(plan: Plan, directory: Path) -> dict[str, Any]:
    """LazyLLM's `store_conf`; what the user did not place lies in `directory`."""
    conf: dict[str, Any] = builder("stores", plan.store.kind)(directory, **plan.store.params.thaw())
    return conf


def build_transforms(groups: Sequence[GroupPlan]) -> dict[str, NodeTransform]:
    """The transform of each node group."""
    return {group.name: builder("transforms", group.kind)(**group.params.thaw()) for group in groups}


def build_document(
    plan: Plan,
    store_conf: dict[str, Any],
    embedders: Mapping[str, Embedder],
    transforms: Mapping[str, NodeTransform],
) -> tuple[Document, LexicalIndex | None]:
    """The document with its node groups and indices, and the index over words, if one is asked; nothing is read yet."""
    document = Document(
        embed={name: QueryEmbedding(embedder) for name, embedder in embedders.items()}, store_conf=store_conf
    )
    for group in plan.groups:
        parent = {} if group.parent == "root" else {"parent": group.parent}
        document.create_node_group(group.name, transform=transforms[group.name], **parent)
        activate(document, group.name)
    nodes = StoredNodes(document)
    lexical = None
    if any(retriever.mode == "text" for retriever in plan.retrievers):
        from confrag.build.indices.lexical import LexicalIndex  # its libraries take a while to import

        lexical = LexicalIndex(nodes)
        register_index(document, INDICES["text"], lexical)
    if needs_index(document):
        register_index(document, INDICES["embedding"], ExactIndex(nodes, embeds(document)))
    return document, lexical
