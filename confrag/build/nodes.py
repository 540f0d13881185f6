"""From the sections of a file to nodes with ids that depend on nothing but their place and text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lazyllm.tools.rag import DocNode, NodeTransform
from lazyllm.tools.rag.doc_node import QADocNode
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID, RAG_DOC_PATH, RAG_KB_ID

from confrag.build.private.nodes import ROOT_GROUP, place
from confrag.build.readers.section import Section
from confrag.plan.model import GroupPlan
from confrag.schema.doc_fields import Value, shown
from confrag.schema.filters import FILE
from confrag.schema.nodes import ROOT

__all__ = ["FILE", "FORMAT", "add_group", "document_id", "make_nodes", "metadata_of", "parents", "passage"]

FORMAT = 2
"""To be raised when the same file and configuration give other nodes than before: all collections are then rebuilt."""


def document_id(name: str) -> str:
    """The id of a file: a digest of its name in the corpus, 32 hexadecimal digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def make_nodes(
    name: str,
    path: str,
    sections: Sequence[Section],
    groups: Sequence[GroupPlan],
    transforms: Mapping[str, NodeTransform],
    doc_fields: Mapping[str, Value] = MappingProxyType({}),
) -> dict[str, list[DocNode]]:
    """Cut a file into the nodes of each group.

    Args:
        name: the file's name in the corpus.
        path: where it lies.
        sections: what was read from it.
        groups: parents before children.
        transforms: the transform of each group.
        doc_fields: the declared metadata of the file.

    Returns:
        Group -> nodes in the order of the text, whole sections among them.
    """
    doc_id = document_id(name)
    shared = {RAG_DOC_ID: doc_id, RAG_KB_ID: "__default__", RAG_DOC_PATH: path, FILE: name, **doc_fields}
    made: dict[str, list[DocNode]] = {ROOT_GROUP: []}
    for number, section in enumerate(sections, start=1):
        node = DocNode(text=section.text)
        uid = _uid(doc_id, ROOT_GROUP, number, section.text)
        made[ROOT_GROUP].append(
            place(node, uid=uid, group=ROOT_GROUP, parent=None, number=number, metadata=section.metadata, shared=shared)
        )
    for group in groups:
        add_group(made, group, transforms[group.name])
    return made


def parents(made: Mapping[str, list[DocNode]], group: GroupPlan) -> list[DocNode]:
    """The nodes of a file that the nodes of a group are made of."""
    return made[ROOT_GROUP if group.parent == ROOT else group.parent]


def add_group(
    made: dict[str, list[DocNode]], group: GroupPlan, cut: Callable[[DocNode], Sequence[DocNode]]
) -> list[DocNode]:
    """Make the nodes of one more group of a file, and return them.

    Args:
        made: what `make_nodes` gave; the group is added.
        group: its parent is there.
        cut: gives the fresh nodes of a parent.
    """
    nodes = made[group.name] = []
    for parent in parents(made, group):
        shared = parent.global_metadata
        for node in cut(parent):
            number = len(nodes) + 1
            uid = _uid(str(shared[RAG_DOC_ID]), group.name, number, node.text)
            nodes.append(
                place(
                    node,
                    uid=uid,
                    group=group.name,
                    parent=parent,
                    number=number,
                    metadata=parent.metadata,
                    shared=shared,
                )
            )
    return nodes


def passage(node: DocNode) -> str:
    """What is read of a node: its text, and below a question its answer."""
    return f"{node.text}\n{node.answer}" if isinstance(node, QADocNode) else str(node.text)


def metadata_of(node: DocNode, doc_fields: Mapping[str, str]) -> dict[str, Any]:
    """What is known of a node: of its place in the document, and the declared metadata of that.

    Args:
        node: that was found.
        doc_fields: name -> type of the declared metadata.
    """
    known = node.global_metadata
    own = {key: value for key, value in node.metadata.items() if not key.startswith("lazyllm_")}
    return own | {name: shown(known[name], kind) for name, kind in doc_fields.items() if name in known}


def _uid(doc_id: str, group: str, number: int, text: str) -> str:
    return hashlib.sha256(f"{doc_id}\0{group}\0{number}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
