"""The indices that a configuration declares, built and registered with a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lazyllm.tools.rag import Document

from confrag.build.indices.group import Place
from confrag.build.indices.mirror import Mirror
from confrag.build.indices.nodes import NodeReader
from confrag.build.indices.snapshot import folder_name
from confrag.build.models.fingerprint import fingerprint
from confrag.build.private.store import embeds, register_index
from confrag.plan.model import IndexPlan, Plan
from confrag.registry import builder

__all__ = ["Lasting", "own_index", "register_own", "unkept_own"]


@runtime_checkable
class Lasting(Protocol):
    """An index that is brought in line with the store when that has changed, and may be kept on disk."""

    def ready(self) -> None:
        """Bring it in line with the store now. Raises StoreError when that fails."""

    def save(self) -> None:
        """Keep it on disk, if it changed; to be called by the one process that may write the collection."""


def own_index(name: str) -> str:
    """What LazyLLM calls an index of this name in a configuration; never the name of another one."""
    return f"indices.{name}"


def register_own(plan: Plan, document: Document, nodes: NodeReader, folder: Path | None) -> list[Lasting]:
    """Build the indices of a plan, and let LazyLLM's retrievers ask them. Nothing is read yet.

    Args:
        plan: which indices there are.
        document: that they belong to.
        nodes: its stored nodes.
        folder: where they may be kept; None: in memory only.

    Returns:
        Those that can be told to get ready.
    """
    embed = embeds(document)
    built = []
    for index in plan.indices:
        made = builder("indices", index.kind)(_place(plan, index, nodes, embed, folder), **index.params.thaw())
        register_index(document, own_index(index.name), made)
        built.append(made)
    return [index for index in built if isinstance(index, Lasting)]


def unkept_own(plan: Plan, nodes: NodeReader, folder: Path) -> list[str]:
    """Which of a plan's indices would have to be built as a whole: nothing usable is kept of them."""
    embed = {index.embed_key: _nobody for index in plan.indices if index.embed_key}
    return [
        f"{index.kind} '{index.name}'"
        for index in plan.indices
        for made in [builder("indices", index.kind)(_place(plan, index, nodes, embed, folder), **index.params.thaw())]
        if isinstance(made, Mirror) and not made.is_kept()
    ]


def _nobody(question: str) -> Any:
    raise AssertionError("an index that is only looked at embeds nothing")


def _place(
    plan: Plan, index: IndexPlan, nodes: NodeReader, embed: Mapping[str, Callable[[str], Any]], folder: Path | None
) -> Place:
    key = index.embed_key
    return Place(
        name=index.name,
        group=index.group,
        nodes=nodes,
        embed_key=key,
        embed=embed[key] if key else None,
        made_by=fingerprint(plan.model(key)) if key else "",
        folder=folder / folder_name(index.name) if folder else None,
    )
