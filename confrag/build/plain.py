"""LazyLLM by itself, used as its documentation has it: what the benches set the engine beside."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lazyllm.tools.rag import DocNode, Document, Retriever, SentenceSplitter

from confrag.build.document import QueryEmbedding
from confrag.build.models.protocols import Embedder
from confrag.build.private.nodes import ROOT_GROUP
from confrag.build.private.store import document_store

__all__ = ["CountedEmbedding", "PlainRetriever"]

_GROUP = "chunk"


class CountedEmbedding(QueryEmbedding):
    """An embedder as LazyLLM calls it, that counts.

    Attributes:
        texts: of the corpus, embedded so far; questions do not count.
    """

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(embedder)
        self.texts = 0
        self._counting = threading.Lock()

    def __call__(self, text: str | Sequence[str]) -> Any:
        """Embed a question, or the texts of a corpus."""
        if not isinstance(text, str):
            with self._counting:
                self.texts += len(text)
        return super().__call__(text)


class PlainRetriever:
    """LazyLLM's `Document` over a folder, cut by its sentence splitter, and a `Retriever` over the chunks.

    Args:
        folder: the documents; LazyLLM reads them at the first question.
        embed: gives the vectors.
        store_conf: LazyLLM's own.
        chunk_size: tokens of a chunk.
        chunk_overlap: tokens that neighbours share.
        topk: chunks to find.
    """

    def __init__(
        self,
        folder: Path,
        embed: CountedEmbedding,
        store_conf: dict[str, Any],
        *,
        chunk_size: int,
        chunk_overlap: int,
        topk: int,
    ) -> None:
        self._document = Document(dataset_path=str(folder), embed=embed, store_conf=store_conf, manager=False)
        splitter = SentenceSplitter(chunk_size=chunk_size, chunk_overlap=chunk_overlap)
        self._document.create_node_group(_GROUP, transform=splitter)
        self._retriever = Retriever(self._document, _GROUP, similarity="cosine", topk=topk)

    def __call__(self, question: str) -> list[DocNode]:
        """The chunks for a question."""
        return list(self._retriever(question))

    def held(self) -> tuple[int, int]:
        """Number of nodes and of vectors that the store holds, as it says itself; for one that lives in memory."""
        store = document_store(self._document)
        chunks = store.get_nodes(group=_GROUP)
        return len(chunks) + len(store.get_nodes(group=ROOT_GROUP)), sum(bool(node.embedding) for node in chunks)
