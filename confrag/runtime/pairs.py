"""Questions with their answers that a model has written about the documents: listed, put right, deleted."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lazyllm.tools.rag.doc_node import QADocNode

from confrag.build.nodes import document_id
from confrag.errors import NotFoundError, UserError
from confrag.plan.model import Plan
from confrag.runtime.collection import Collection
from confrag.runtime.overlay import Overlay
from confrag.schema.filters import FILE

__all__ = ["Changed", "Pair", "Pairs", "stored_nodes"]

Changed = Callable[[Sequence[str]], Callable[[], None]]
"""Has a change taken up, the named files in any case; what it returns waits until it is in the store."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with its answer, about a passage; `edited`: it stands in the place of what the model has written."""

    id: str
    group: str
    file: str
    file_id: str
    question: str
    answer: str
    edited: bool


def stored_nodes(collection: Collection, group: str) -> dict[str, int]:
    """Id -> number of stored nodes of a group, of every document that has some."""
    records = collection.records().items()
    return {document_id(name): record.groups[group][1] for name, record in records if group in record.groups}


class Pairs:
    """The pairs of an engine that runs. What is changed outlasts that the document is read anew. Safe for threads.

    Args:
        plan: of the engine.
        overlay: the changes.
        collection: gives the collection, open. Raises UserError when the engine is not started.
        changed: see `Changed`.
        guard: held while something is read and changed.
    """

    def __init__(
        self,
        plan: Plan,
        overlay: Overlay,
        collection: Callable[[], Collection],
        changed: Changed,
        guard: threading.RLock,
    ) -> None:
        self.groups = tuple(group.name for group in plan.groups if group.kind == "llm_qa")
        """The node groups of pairs."""
        self._overlay = overlay
        self._collection = collection
        self._changed = changed
        self._guard = guard

    def list(
        self,
        file_id: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[int, builtins.list[Pair]]:
        """Pairs by document and in the order of the text.

        Args:
            file_id: of a document; left out: of all.
            offset: how many to pass over.
            limit: how many at most.

        Returns:
            How many there are, and those that were asked for.
        """
        total, found = 0, []
        for group in self.groups:
            for document, stored in sorted(stored_nodes(self._collection(), group).items()):
                if file_id not in (None, document):
                    continue
                first, last = max(offset - total, 0), min(offset + limit - total, stored)
                if first < last:
                    nodes = self._collection().nodes_of(group, document, range(first + 1, last + 1))
                    found += [self._pair(node) for node in nodes]
                total += stored
        return total, found

    def edit(self, pair_id: str, question: str, answer: str, *, wait: bool = True) -> Pair:
        """Put a question and its answer right; returns the pair as it was. It gets another id.

        Raises:
            NotFoundError: no such pair.
            UserError: a text is empty.
        """
        new = question.strip(), answer.strip()
        if not all(new):
            raise UserError("a question and its answer must not be empty; to be rid of the pair, delete it")
        return self._change(pair_id, new, wait)

    def delete(self, pair_id: str, *, wait: bool = True) -> Pair:
        """Take a question and its answer out, for good; returns them. Raises NotFoundError when there are none."""
        return self._change(pair_id, None, wait)

    def _change(self, pair_id: str, new: tuple[str, str] | None, wait: bool) -> Pair:
        with self._guard:
            nodes = (self._collection().node(group, pair_id) for group in self.groups)
            node = next((node for node in nodes if node is not None), None)
            if node is None:
                raise NotFoundError(
                    f"there is no question-answer pair with the id '{pair_id}'; edited ones get another id"
                )
            pair = self._pair(node)
            edits = self._overlay.edits(pair.file)
            of_group = dict(edits.pairs.get(pair.group, {}))
            asked = next((a for a, stands in of_group.items() if stands and stands[0] == pair.question), pair.question)
            of_group[asked] = new
            self._overlay.edit(pair.file, replace(edits, pairs={**edits.pairs, pair.group: of_group}))
        done = self._changed([])
        if wait:
            done()
        return pair

    def _pair(self, node: Any) -> Pair:
        assert isinstance(node, QADocNode)
        file = str(node.global_metadata[FILE])
        pairs = self._overlay.edits(file).pairs.get(node.group, {})
        is_edited = any(stands and stands[0] == node.text for stands in pairs.values())
        return Pair(str(node.uid), str(node.group), file, document_id(file), node.text, str(node.answer), is_edited)
