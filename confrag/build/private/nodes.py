"""Nodes: cut, given their final place, and turned into plain data and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode

__all__ = ["ROOT_GROUP", "from_record", "parent_uid", "place", "set_pieces", "to_record"]

ROOT_GROUP = "lazyllm_root"
"""LazyLLM's node group of whole documents."""


def place(
    node: DocNode,
    *,
    uid: str,
    group: str,
    parent: DocNode | None,
    number: int,
    metadata: Mapping[str, Any],
    shared: Mapping[str, Any],
) -> DocNode:
    """Give a node its final id and place; LazyLLM would draw a random id and number it while storing.

    Args:
        node: fresh from a reader or transform.
        uid: its id.
        group: its node group.
        parent: the node it was cut from.
        number: its place among the nodes of its group in the document, from 1.
        metadata: what it knows of its place in the file; its own metadata have precedence.
        shared: metadata of the whole document.
    """
    node._uid = uid
    node._group = group
    node.parent = parent
    node._metadata = {**metadata, **node.metadata, "lazyllm_store_num": number}
    node._global_metadata = dict(shared)
    return node


def parent_uid(node: DocNode) -> str:
    """Id of the node that a node was cut from; empty for a whole document. Loads nothing."""
    return str(getattr(node._parent, "uid", node._parent) or "")


def to_record(node: DocNode) -> dict[str, Any]:
    """A node that was found, as plain data; without its vectors."""
    return {
        "uid": node.uid,
        "text": node.text,
        "answer": getattr(node, "answer", None),
        "group": node.group,
        "parent": parent_uid(node),
        "metadata": dict(node._metadata),
        "global_metadata": dict(node.global_metadata),
        "score": node.similarity_score,
        "rerank_score": node.relevance_score,
        "ranked_by": getattr(node, "ranked_by", None),
        "routes": list(getattr(node, "routes", ())),
    }


def from_record(record: Mapping[str, Any]) -> DocNode:
    """The node of a record."""
    from lazyllm.tools.rag.doc_node import DocNode, QADocNode

    kwargs = {key: record[key] for key in ("uid", "group", "parent")}
    for key in ("metadata", "global_metadata"):
        kwargs[key] = dict(record[key])
    if record["answer"] is None:
        node = DocNode(text=record["text"], **kwargs)
    else:
        node = QADocNode(query=record["text"], answer=record["answer"], **kwargs)
    node.similarity_score, node.relevance_score = record["score"], record["rerank_score"]
    node.ranked_by, node.routes = record["ranked_by"], tuple(record["routes"])
    return node


def set_pieces(splitter: Any, pieces: Callable[[str], tuple[list[str], bool]]) -> Any:
    """Let a text splitter of LazyLLM's cut texts by `pieces`: text -> (pieces, whether they are whole sentences)."""
    splitter._get_splits_by_fns = pieces
    return splitter
