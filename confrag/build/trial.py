"""A store filled with given texts and vectors, asked through LazyLLM's own retriever: what the benches compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lazyllm.tools.rag import DocNode, Document, Retriever
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID, RAG_KB_ID
from numpy.typing import NDArray

from confrag.build.indices.group import Place
from confrag.build.indices.own import Lasting, own_index
from confrag.build.private.nodes import place
from confrag.build.private.store import activate, close, finish, register_index, write_nodes
from confrag.build.private.stored_nodes import StoredNodes
from confrag.registry import builder

__all__ = ["Trial", "store_conf", "trial"]

GROUP = "item"
KEY = "embed"
_BATCH = 10_000
_SHARED = {RAG_DOC_ID: "bench", RAG_KB_ID: "__default__"}

Ask = Callable[[str], list[tuple[str, float]]]
"""A question gives texts and scores."""


def store_conf(kind: str, folder: Path, **params: Any) -> dict[str, Any]:
    """LazyLLM's store_conf of one of our stores, in a folder."""
    conf: dict[str, Any] = builder("stores", kind)(folder, **params)
    return conf


class Trial:
    """A document of one node group, filled.

    Args:
        conf: LazyLLM's store_conf; ``{"type": "map"}`` is its own store in memory.
        embed: gives the vector of a question; None for texts alone.
    """

    def __init__(self, conf: dict[str, Any], embed: Callable[[str], Any] | None = None) -> None:
        self._embed = embed
        self.document = Document(embed={KEY: embed} if embed else None, store_conf=conf)
        self.document.create_node_group(GROUP, transform=lambda node: [node])
        activate(self.document, GROUP)

    def write(self, texts: Sequence[str], vectors: NDArray[np.float32] | None, *, plain: bool = False) -> None:
        """Write nodes, and have them indexed.

        Args:
            texts: one for each node.
            vectors: `[n, dim] float32`, or None.
            plain: vectors as lists of numbers, which LazyLLM's own store wants.
        """
        for start in range(0, len(texts), _BATCH):
            nodes = []
            for number in range(start, min(start + _BATCH, len(texts))):
                node = DocNode(text=texts[number])
                if vectors is not None:
                    node.embedding = {KEY: vectors[number].tolist() if plain else vectors[number]}
                nodes.append(
                    place(
                        node, uid=f"{number:032}", group=GROUP, parent=None, number=number, metadata={}, shared=_SHARED
                    )
                )
            write_nodes(self.document, nodes)
        if not plain:
            finish(self.document)

    def index(self, kind: str, **params: Any) -> Any:
        """An index of this kind, registered under the kind's name and in line with the store."""
        built_for = Place(kind, GROUP, StoredNodes(self.document), KEY if self._embed else None, self._embed)
        made = builder("indices", kind)(built_for, **params)
        register_index(self.document, own_index(kind), made)
        if isinstance(made, Lasting):
            made.ready()
        return made

    def ask(self, index: str | None, topk: int, similarity: str = "cosine") -> Ask:
        """LazyLLM's `Retriever`, through an index of this kind, or the default one."""
        keys = [KEY] if self._embed else None
        name = own_index(index) if index else "default"
        retriever = Retriever(self.document, GROUP, similarity=similarity, index=name, topk=topk, embed_keys=keys)

        def asked(question: str) -> list[tuple[str, float]]:
            return [(node.text, float(node.similarity_score)) for node in retriever(question)]

        return asked


@contextmanager
def trial(conf: dict[str, Any], embed: Callable[[str], Any] | None = None) -> Iterator[Trial]:
    """A `Trial` that is closed in the end."""
    made = Trial(conf, embed)
    try:
        yield made
    finally:
        if not _is_plain(conf):
            close(made.document)


def _is_plain(conf: Mapping[str, Any]) -> bool:
    return conf.get("type") == "map"
