"""What an index asks of the store whose nodes it finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from confrag.schema.filters import Filters

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode


class NodeReader(Protocol):
    """Reads the stored nodes of a group; `confrag.build.private.stored_nodes.StoredNodes` for a `Document`."""

    def nodes(self, group: str, uids: Sequence[str]) -> list[DocNode]:
        """The nodes with these uids, in their order."""

    def uids(self, group: str) -> list[str]:
        """Uids of the nodes of the group, in order."""

    def texts(self, group: str, uids: Sequence[str] | None = None) -> Iterable[tuple[str, str]]:
        """(uid, text) of the nodes of the group, by uid; of these only, where given."""

    def matching(self, group: str, filters: Filters) -> set[str]:
        """Uids of the nodes whose document's global metadata match."""

    def vectors(
        self, group: str, embed_key: str, uids: Sequence[str] | None = None
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Uids and vectors `[n, dim] float32` of the group; of these only, where given, in any order."""


def best(uids: Sequence[str], scores: NDArray[np.float32], count: int | None) -> list[tuple[str, float]]:
    """The `count` best of the scored uids (all when None), best first and equals by uid."""
    rows: Sequence[int] = range(len(scores))
    if count is not None and 0 < count < len(scores):
        threshold = np.partition(scores, -count)[-count]
        rows = np.flatnonzero(scores >= threshold).tolist()
    ranked = sorted(((uids[row], float(scores[row])) for row in rows), key=lambda hit: (-hit[1], hit[0]))
    return ranked[:count]
