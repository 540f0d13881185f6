"""From a plan to LazyLLM's Document: the store, the node groups, the embeddings."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lazyllm.tools.rag import DataType, DocField, Document, NodeTransform

from confrag.build.indices.exact import ExactIndex
from confrag.build.indices.nodes import NodeReader
from confrag.build.indices.own import Lasting, register_own, unkept_own
from confrag.build.indices.several import SeveralEmbeddings
from confrag.build.models.protocols import AnyEmbedder, SparseVector, Vectors
from confrag.build.private.store import activate, document_store, embeds, needs_index, register_index
from confrag.build.private.stored_nodes import StoredNodes
from confrag.plan.model import GroupPlan, Plan
from confrag.registry import builder

if TYPE_CHECKING:
    from confrag.build.indices.lexical import LexicalIndex

__all__ = ["INDICES", "QueryEmbedding", "build_document", "build_store_conf", "build_transforms", "unkept_indices"]

INDICES: Mapping[str, str] = {"embedding": "default", "text": "lexical"}
"""Similarity mode -> the index that answers it."""
_OWN = "own"


class QueryEmbedding:
    """An embedder as LazyLLM calls it: a question gives a vector, a list of texts a list of them.

    A dense vector is a list of floats, a sparse one a dictionary of token id and weight.

    The vectors of the last questions are kept: the routes of a fan-out ask for the same one at the same time.
    """

    batch_size = 64
    """LazyLLM hands over one text at a time unless this is above 1."""

    def __init__(self, embedder: AnyEmbedder, remember: int = 64) -> None:
        self._embedder = embedder
        self._remember = remember
        self._known: OrderedDict[str, Future[list[float] | SparseVector]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, text: str | Sequence[str]) -> Any:
        """Embed a question, or the texts of a corpus."""
        if not isinstance(text, str):
            return [_plain(vector) for vector in self._embedder.passages(text)]
        with self._lock:
            vector = self._known.get(text)
            mine = vector is None
            if vector is None:
                vector = self._known[text] = Future()
                if len(self._known) > self._remember:
                    self._known.popitem(last=False)
            self._known.move_to_end(text)
        if mine:
            # Outside the lock: other questions do not wait for this one's model.
            try:
                vector.set_result(_plain(self._embedder.query(text)))
            except BaseException as error:
                with self._lock:
                    self._known.pop(text, None)
                vector.set_exception(error)
                raise
        return vector.result()


def _plain(vector: Vectors | SparseVector) -> list[float] | SparseVector:
    if isinstance(vector, Mapping):
        return vector
    components: list[float] = vector.tolist()
    return components


def build_store_conf(plan: Plan, directory: Path) -> dict[str, Any]:
    """LazyLLM's `store_conf`; what the user did not place lies in `directory`."""
    conf: dict[str, Any] = builder("stores", plan.store.kind)(directory, **plan.store.params.thaw())
    return conf


def build_transforms(groups: Sequence[GroupPlan]) -> dict[str, NodeTransform]:
    """The transform of each node group."""
    return {group.name: builder("transforms", group.kind)(**group.params.thaw()) for group in groups}


def _doc_field(kind: str) -> DocField:
    types = {"int": DataType.INT64, "date": DataType.INT64, "float": DataType.FLOAT, "bool": DataType.BOOLEAN}
    if kind == "strings":
        return DocField(DataType.ARRAY, element_type=DataType.VARCHAR, max_size=65_535)
    return DocField(types[kind]) if kind in types else DocField(DataType.VARCHAR, max_size=65_535)


def build_document(
    plan: Plan,
    store_conf: dict[str, Any],
    embedders: Mapping[str, AnyEmbedder],
    transforms: Mapping[str, NodeTransform],
    indices_dir: Path | None = None,
) -> tuple[Document, list[Lasting]]:
    """The document with its node groups and indices, and those of the latter that can be kept; nothing is read yet.

    Args:
        plan: what to build.
        store_conf: where the rows are.
        embedders: by name.
        transforms: by group.
        indices_dir: where indices may be kept; None: in memory only.
    """
    document = Document(
        embed={name: QueryEmbedding(embedder) for name, embedder in embedders.items()},
        store_conf=store_conf,
        doc_fields={name: _doc_field(kind) for name, kind in plan.corpus.doc_fields.items()},
    )
    for group in plan.groups:
        parent = {} if group.parent == "root" else {"parent": group.parent}
        document.create_node_group(group.name, transform=transforms[group.name], **parent)
        activate(document, group.name)
    nodes = StoredNodes(document)
    lasting = register_own(plan, document, nodes, indices_dir and indices_dir / _OWN)
    if lexical := _lexical(plan, nodes, indices_dir):
        register_index(document, INDICES["text"], lexical)
        lasting.append(lexical)
    if needs_index(document):
        register_index(document, INDICES["embedding"], ExactIndex(nodes, embeds(document)))
    elif any(len(retriever.embed_keys) > 1 for retriever in plan.retrievers):
        register_index(document, INDICES["embedding"], SeveralEmbeddings(document_store(document)))
    return document, lasting


def unkept_indices(plan: Plan, indices_dir: Path) -> list[str]:
    """The indices that would have to be built as a whole, as far as they are kept at all."""
    nobody: Any = None  # the nodes are not asked for
    lexical = _lexical(plan, nobody, indices_dir)
    return [*unkept_own(plan, nobody, indices_dir / _OWN), *(lexical.unkept() if lexical else [])]


def _lexical(plan: Plan, nodes: NodeReader, indices_dir: Path | None) -> LexicalIndex | None:
    by_words = [(r.group, r.similarity) for r in plan.retrievers if r.mode == "text" and r.similarity]
    if not by_words:
        return None
    from confrag.build.indices.lexical import LexicalIndex  # its libraries take a while to import

    return LexicalIndex(nodes, indices_dir and indices_dir / "lexical", by_words)
