"""The nodes that chat models write, and those that are cut from them, of several files at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from lazyllm.tools.rag import DocNode, NodeTransform

from confrag.build.nodes import add_group, parents
from confrag.plan.model import GroupPlan

__all__ = ["Made", "add_written"]

Made = dict[str, list[DocNode]]
"""Node group -> nodes of a file."""
Replies = Callable[[GroupPlan, Sequence[str]], Mapping[str, str]]


def add_written(
    groups: Sequence[GroupPlan],
    files: Sequence[tuple[Collection[str], Made]],
    transforms: Mapping[str, NodeTransform],
    replies: Replies,
) -> None:
    """Make the nodes of written groups.

    Args:
        groups: see `confrag.plan.model.written_groups`.
        files: of each file the names of the groups that are wanted, and its nodes so far. The groups are added, with
            those that they are made of.
        transforms: by group.
        replies: gives what a model says about the texts of the parents; a text that it leaves out gets no nodes.
    """
    for group in groups:
        members = [made for wanted, made in files if group.name in _with_parents(groups, wanted)]
        cut = transforms[group.name]
        if group.model:
            cut = cut.given(replies(group, [parent.text for made in members for parent in parents(made, group)]))
        for made in members:
            add_group(made, group, cut)


def _with_parents(groups: Sequence[GroupPlan], wanted: Collection[str]) -> set[str]:
    names = set(wanted)
    for group in reversed(groups):
        if group.name in names:
            names.add(group.parent)
    return names
