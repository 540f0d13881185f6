"""From hits to nodes around them: their parents, their children, their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazyllm.tools.rag import DocNode
from lazyllm.tools.rag.global_metadata import RAG_DOC_ID

from confrag.build.private.nodes import ROOT_GROUP, parent_uid
from confrag.build.private.stored_nodes import StoredNodes
from confrag.build.ranking import best_first
from confrag.schema.nodes import ROOT

__all__ = ["Expand"]


class Expand:
    """Turns hits of one group into nodes of another, and adds neighbours.

    LazyLLM's own way to a target loses the scores of the hits on the way down, and the order of the text.

    Args:
        nodes: the stored nodes.
        parents: group -> parent, of every group.
    """

    def __init__(self, nodes: StoredNodes, parents: Mapping[str, str]) -> None:
        self._nodes = nodes
        self._parents = {group: ROOT_GROUP if parent == ROOT else parent for group, parent in parents.items()}

    def to_group(self, hits: Sequence[DocNode], target: str) -> list[DocNode]:
        """The nodes of `target` that the hits were cut from, or into, best first.

        A node that several hits lead to has the highest of their scores; the children of a hit have its score, and
        follow each other in the order of the text. Groups side by side meet in the nearest group above both.
        """
        nodes = list(hits)
        if not nodes:
            return nodes
        down = self._path(ROOT_GROUP if target == ROOT else target)
        group = nodes[0].group
        while group not in down:
            nodes, group = self._up(nodes, self._parents[group]), self._parents[group]
        for below in down[down.index(group) + 1 :]:
            nodes = self._down(nodes, below)
        return nodes

    def window(self, hits: Sequence[DocNode], size: int) -> list[DocNode]:
        """The hits, each with up to `size` neighbours on either side behind it, in the order of the text."""
        if not hits:
            return []
        numbers: dict[str, set[int]] = {}
        for hit in hits:
            numbers.setdefault(_document(hit), set()).update(_around(hit, size))
        found = {
            (document, node.number): node
            for document, wanted in numbers.items()
            for node in self._nodes.numbered(hits[0].group, document, sorted(wanted))
        }
        taken = {hit.uid for hit in hits}  # a hit keeps the place that it has by itself
        around: list[DocNode] = []
        for hit in hits:
            around.append(hit)
            for number in _around(hit, size):
                neighbour = found.get((_document(hit), number))
                if neighbour is not None and neighbour.uid not in taken:
                    taken.add(neighbour.uid)
                    around.append(neighbour.with_sim_score(hit.similarity_score))
        return around

    def _path(self, group: str) -> list[str]:
        """The groups from the whole documents down to a group."""
        path = [group]
        while path[0] != ROOT_GROUP:
            path.insert(0, self._parents[path[0]])
        return path

    def _up(self, nodes: Sequence[DocNode], group: str) -> list[DocNode]:
        best: dict[str, float] = {}
        for node in nodes:
            score = node.similarity_score or 0.0
            parent = parent_uid(node)
            best[parent] = max(score, best.get(parent, score))
        return best_first([n.with_sim_score(best[n.uid]) for n in self._nodes.nodes(group, list(best))])

    def _down(self, nodes: Sequence[DocNode], group: str) -> list[DocNode]:
        children: dict[str, list[DocNode]] = {}
        for child in self._nodes.children(group, [node.uid for node in nodes]):
            children.setdefault(parent_uid(child), []).append(child)
        return [
            child.with_sim_score(node.similarity_score)
            for node in nodes
            for child in sorted(children.get(node.uid, ()), key=lambda child: child.number)
        ]


def _document(node: DocNode) -> str:
    return str(node.global_metadata[RAG_DOC_ID])


def _around(hit: DocNode, size: int) -> list[int]:
    """Numbers of the neighbours of a hit in its document; numbers count from 1."""
    return [number for number in range(max(1, hit.number - size), hit.number + size + 1) if number != hit.number]
