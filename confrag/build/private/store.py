"""The store of a `Document`: opened, written, emptied, counted and closed from outside.

LazyLLM wants to read, split and embed files itself. The engine does that and hands over finished nodes, for which
LazyLLM has no public door.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from confrag.errors import StoreError

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode, Document
    from lazyllm.tools.rag.index_base import IndexBase

__all__ = [
    "activate",
    "close",
    "count",
    "count_vectors",
    "delete_documents",
    "delete_nodes",
    "document_store",
    "drop_group",
    "embeds",
    "finish",
    "needs_index",
    "parts_of",
    "persist",
    "refresh",
    "register_index",
    "segments_of",
    "stored_uids",
    "write_nodes",
]


def document_store(doc: Document) -> Any:
    """LazyLLM's `_DocumentStore` of a document, with its stores opened.

    Raises:
        StoreError: a store cannot be opened.
    """
    store = doc._impl.store
    store.vector_initialized_impl  # noqa: B018  (a property that connects; here it fails, not at the first query)
    return store


def activate(doc: Document, group: str) -> None:
    """Make a node group writable and searchable. Embeds nothing.

    All embeddings of the document are activated with it: LazyLLM refuses to add one once the document is open, and a
    `Retriever` made later asks for all of them for its target group.
    """
    doc.activate_group(group)


def write_nodes(doc: Document, nodes: Sequence[DocNode]) -> None:
    """Write finished nodes (text, parent, metadata, embedding) to the stores and indices; embeds nothing.

    A node with the uid of a stored one replaces it. Embeddings may be float32 arrays. Thousands at once are best.

    Raises:
        StoreError: a store fails, or a node's group was not activated.
    """
    store = document_store(doc)
    unknown = sorted({str(node._group) for node in nodes if not store.is_group_active(node._group)})
    if unknown:
        raise StoreError(f"nodes of groups that are not active cannot be written: {', '.join(unknown)}")
    store.update_nodes(list(nodes), copy=True)


def delete_documents(doc: Document, doc_ids: Collection[str], groups: Collection[str] | None = None) -> None:
    """Remove every node of the documents from stores and indices; of these groups only, where given.

    Raises:
        StoreError: a store fails.
    """
    if doc_ids:
        _delete(doc, "docid", list(doc_ids), groups)


def delete_nodes(doc: Document, group: str, uids: Collection[str]) -> None:
    """Remove nodes of one group by uid from stores and indices.

    Raises:
        StoreError: a store fails.
    """
    if uids:
        _delete(doc, "uid", list(uids), [group])


def _delete(doc: Document, key: str, values: list[str], groups: Collection[str] | None) -> None:
    store = document_store(doc)
    for group in store.activated_groups() if groups is None else groups:
        collection = store._gen_collection_name(group)
        # LazyLLM's own removal by document tells its indices neither uids nor the right group.
        uids = segments_of(store).uids(collection, {key: values})
        if not uids:
            continue
        # Vectors first, by the uids that the text knows: what is interrupted here can be repeated.
        for part in reversed(parts_of(store)):
            part.delete(collection, {"uid": uids})
        for index in store._indices.values():
            index.remove(uids, group)


def drop_group(doc: Document, group: str) -> None:
    """Remove everything of a group, also of one that the document does not declare.

    Raises:
        StoreError: a store fails.
    """
    store = document_store(doc)
    for part in reversed(parts_of(store)):
        part.delete(store._gen_collection_name(group))
    for index in store._indices.values():
        index.remove(None, group)


def refresh(doc: Document) -> None:
    """Let stores and indices see what another process has written.

    Raises:
        StoreError: a store cannot be opened once more.
    """
    store = document_store(doc)
    for part in parts_of(store):
        part.refresh()
    for index in store._indices.values():
        index.remove(None)


def stored_uids(doc: Document, group: str, doc_ids: Collection[str]) -> list[str]:
    """Uids of the stored nodes of some documents."""
    store = document_store(doc)
    uids: list[str] = segments_of(store).uids(store._gen_collection_name(group), {"docid": list(doc_ids)})
    return uids


def register_index(doc: Document, name: str, index: IndexBase) -> None:
    """Make `index` answer ``Retriever(..., index=name)``, on every store (LazyLLM allows it on the map store only).

    It is told of every node that is written or deleted from now on; ``default`` replaces LazyLLM's own.
    """
    document_store(doc)._indices[name] = index


def needs_index(doc: Document) -> bool:
    """Whether the document's store leaves the search by vectors to an index (LazyLLM's map store does)."""
    return bool(document_store(doc)._impl.supports_index_registration)


def embeds(doc: Document) -> dict[str, Callable[[str], Any]]:
    """The document's embedding functions as LazyLLM calls them, by embedding key."""
    return dict(doc._impl.embed)


def persist(doc: Document) -> None:
    """Make sure that what was written outlasts this process, however it ends.

    Raises:
        StoreError: a store fails.
    """
    for part in parts_of(document_store(doc)):
        part.persist()


def finish(doc: Document) -> None:
    """Bring the stores into the state in which they answer fast, after writing: Milvus flushes and builds its index.

    Raises:
        StoreError: the index cannot be built.
    """
    for part in parts_of(document_store(doc)):
        part.finish()


def close(doc: Document) -> None:
    """Release the files, locks and threads of the document's stores. The document cannot be used after it."""
    if not doc._impl._lazy_init.flag:
        return
    store = doc._impl.store
    store._indices.clear()
    for part in parts_of(store):
        part.close()


def count(doc: Document, group: str) -> int:
    """Number of stored nodes of a group."""
    store = document_store(doc)
    return int(segments_of(store).count(store._gen_collection_name(group)))


def count_vectors(doc: Document, group: str) -> int:
    """Number of stored vectors of a group, of the embedding that has most."""
    store = document_store(doc)
    return int(parts_of(store)[-1].count_vectors(store._gen_collection_name(group)))


def parts_of(store: Any) -> list[Any]:
    """The stores behind a document store: segments and vectors, or one that is both."""
    store = store._impl
    return [store.segment_store, store.vector_store] if hasattr(store, "vector_store") else [store]


def segments_of(store: Any) -> Any:
    return parts_of(store)[0]
