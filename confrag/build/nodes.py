"""From the sections of a file to nodes with ids that depend on nothing but their place and text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from lazyllm.tools.rag import DocNode, NodeTransform
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID, RAG_DOC_PATH, RAG_KB_ID

from confrag.build.private import ROOT_GROUP, place
from confrag.build.readers.section import Section
from confrag.plan.model import GroupPlan
from confrag.schema.nodes import ROOT

__all__ = ["FILE", "FORMAT", "document_id", "make_nodes"]

FORMAT = 1
"""To be raised when the same file and configuration give other nodes than before: all collections are then rebuilt."""
FILE = "file"
"""Key of a node's global metadata that holds the name of its file, relative to the corpus."""


def document_id(name: str) -> str:
    """The id of a file: a digest of its name in the corpus, 32 hexadecimal digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def make_nodes(
    name: str,
    path: str,
    sections: Sequence[Section],
    groups: Sequence[GroupPlan],
    transforms: Mapping[str, NodeTransform],
) -> dict[str, list[DocNode]]:
    """Cut a file into the nodes of each group.

    Args:
        name: the file's name in the corpus.
        path: where it lies.
        sections: what was read from it.
        groups: parents before children.
        transforms: the transform of each group.

    Returns:
        Group -> nodes in the order of the text, whole sections among them.
    """
    doc_id = document_id(name)
    shared = {RAG_DOC_ID: doc_id, RAG_KB_ID: "__default__", RAG_DOC_PATH: path, FILE: name}
    made: dict[str, list[DocNode]] = {ROOT_GROUP: []}
    for number, section in enumerate(sections, start=1):
        node = DocNode(text=section.text)
        uid = _uid(doc_id, ROOT_GROUP, number, section.text)
        made[ROOT_GROUP].append(
            place(node, uid=uid, group=ROOT_GROUP, parent=None, number=number, metadata=section.metadata, shared=shared)
        )
    for group in groups:
        parents = made[ROOT_GROUP if group.parent == ROOT else group.parent]
        made[group.name] = []
        for parent in parents:
            for node in transforms[group.name](parent):
                number = len(made[group.name]) + 1
                uid = _uid(doc_id, group.name, number, node.text)
                made[group.name].append(
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
    return made


def _uid(doc_id: str, group: str, number: int, text: str) -> str:
    return hashlib.sha256(f"{doc_id}\0{group}\0{number}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
