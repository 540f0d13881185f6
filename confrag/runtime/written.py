"""The nodes that chat models write, and those that are cut from them, of several files at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from lazyllm.tools.rag import DocNode, NodeTransform
from lazyllm.tools.rag.doc_node import QADocNode

from confrag.build.nodes import add_group, parents
from confrag.plan.model import GroupPlan

__all__ = ["Made", "add_written"]

Made = dict[str, list[DocNode]]
"""Node group -> nodes of a file."""
Pairs = Mapping[str, Mapping[str, Sequence[str] | None]]
"""Node group -> question -> the question and answer that stand in its place; None: nothing does."""
Replies = Callable[[GroupPlan, Sequence[str]], Mapping[str, str]]


def add_written(
    groups: Sequence[GroupPlan],
    files: Sequence[tuple[Collection[str], Made, Pairs]],
    transforms: Mapping[str, NodeTransform],
    replies: Replies,
) -> None:
    """Make the nodes of written groups.

    Args:
        groups: see `confrag.plan.model.written_groups`.
        files: of each file the names of the groups that are wanted, its nodes so far, and what was edited of its
            pairs. The groups are added, with those that they are made of.
        transforms: by group.
        replies: gives what a model says about the texts of the parents; a text that it leaves out gets no nodes.
    """
    for group in groups:
        members = [(made, pairs) for wanted, made, pairs in files if group.name in _with_parents(groups, wanted)]
        cut = transforms[group.name]
        if group.model:
            texts = [parent.text for made, _ in members for parent in parents(made, group)]
            cut = cut.given(replies(group, texts))
        for made, pairs in members:
            add_group(made, group, _edited(cut, pairs[group.name]) if group.name in pairs else cut)


def _edited(
    cut: Callable[[DocNode], Sequence[DocNode]], pairs: Mapping[str, Sequence[str] | None]
) -> Callable[[DocNode], Sequence[DocNode]]:
    """What a model wrote about a parent, with the pairs that somebody has put right."""

    def nodes(parent: DocNode) -> Sequence[DocNode]:
        return [node for made in cut(parent) if (node := _in_place_of(made, pairs)) is not None]

    return nodes


def _in_place_of(node: DocNode, pairs: Mapping[str, Sequence[str] | None]) -> DocNode | None:
    if node.text not in pairs:
        return node
    pair = pairs[node.text]
    return None if pair is None else QADocNode(query=pair[0], answer=pair[1])


def _with_parents(groups: Sequence[GroupPlan], wanted: Collection[str]) -> set[str]:
    names = set(wanted)
    for group in reversed(groups):
        if group.name in names:
            names.add(group.parent)
    return names
