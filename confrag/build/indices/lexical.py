"""BM25 over the texts of a node group."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bm25s
import numpy as np
from lazyllm.tools.rag.index_base import IndexBase

from confrag.build.indices.nodes import NodeReader, best
from confrag.build.indices.tokens import Tokenizer, chinese, english
from confrag.errors import UserError, nearest

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode

TOKENIZERS: Mapping[str, Tokenizer] = {"bm25": english, "bm25_chinese": chinese}
"""LazyLLM's names of the text similarities, and how each splits texts."""


@dataclass(frozen=True)
class _Corpus:
    """What a group is searched with; never changed, so that threads may share it."""

    uids: Sequence[str]
    bm25: Any


class LexicalIndex(IndexBase):  # type: ignore[misc]
    """BM25 (Lucene's variant, k1 1.5, b 0.75, by bm25s), built once for a group and kept in memory.

    It is built at the first query and again at the first one after a change; only new texts are split again then.
    Works with every store. Safe for threads.

    Args:
        nodes: the stored nodes.
    """

    def __init__(self, nodes: NodeReader) -> None:
        self._nodes = nodes
        self._corpora: dict[tuple[str, str], _Corpus] = {}
        self._tokens: dict[tuple[str, str], dict[str, list[str]]] = {}
        self._guard = threading.RLock()

    def update(self, nodes: Sequence[DocNode]) -> None:
        """Take notice of nodes that were written to the store."""
        with self._guard:
            for group in {node.group for node in nodes}:
                self._forget(group, {node.uid for node in nodes if node.group == group})

    def remove(self, uids: Sequence[str] | None, group_name: str | None = None) -> None:
        """Forget nodes that were removed from the store; a whole group when `uids` is None."""
        with self._guard:
            for group in {group for group, _ in self._tokens if group_name in (None, group)}:
                self._forget(group, None if uids is None else set(uids))

    def build(self, group_name: str, similarity_name: str) -> None:
        """Build a group's index now rather than at the first query."""
        self._corpus(group_name, similarity_name)

    def query(
        self,
        query: str,
        group_name: str,
        similarity_name: str | None = "bm25",
        similarity_cut_off: float = float("-inf"),
        topk: int | None = 10,
        embed_keys: Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[DocNode]:
        """The `topk` nodes of the highest BM25 score, best first, each with its `similarity_score`.

        A node without a word of the query is no result, nor is one below the cut-off.

        Raises:
            UserError: a similarity that is not one of texts, or a cut-off for each embedding.
            StoreError: the store fails.
        """
        similarity = str(similarity_name)
        if not isinstance(similarity_cut_off, (int, float)):
            raise UserError(f"similarity '{similarity}' has no embeddings: its similarity_cut_off must be a number")
        corpus = self._corpus(group_name, similarity)
        if corpus is None:
            return []
        scores = corpus.bm25.get_scores(TOKENIZERS[similarity]([query])[0])
        # Lucene's scores are positive wherever a word of the query occurs.
        rows: list[int] = np.flatnonzero((scores > 0) & (scores >= similarity_cut_off)).tolist()
        if filters:
            within = self._nodes.matching(group_name, filters)
            rows = [row for row in rows if corpus.uids[row] in within]
        ranked = best([corpus.uids[row] for row in rows], scores[rows], topk)
        nodes = self._nodes.nodes(group_name, [uid for uid, _ in ranked])
        return [node.with_sim_score(score) for node, (_, score) in zip(nodes, ranked, strict=True)]

    def _forget(self, group: str, uids: set[str] | None) -> None:
        for similarity in TOKENIZERS:
            self._corpora.pop((group, similarity), None)
            if uids is None:
                self._tokens.pop((group, similarity), None)
            elif tokens := self._tokens.get((group, similarity)):
                for uid in uids:
                    tokens.pop(uid, None)

    def _corpus(self, group: str, similarity: str) -> _Corpus | None:
        """The index of a group, up to date; None when the group has no words."""
        if similarity not in TOKENIZERS:
            close = nearest(similarity, TOKENIZERS)
            hint = f" Did you mean '{close}'?" if close else ""
            raise UserError(f"similarity '{similarity}' is not one of texts: {', '.join(TOKENIZERS)}.{hint}")
        with self._guard:
            if (corpus := self._corpora.get((group, similarity))) is not None:
                return corpus
            texts = dict(self._nodes.texts(group))
            known = self._tokens.get((group, similarity), {})
            new = [uid for uid in texts if uid not in known]
            split = TOKENIZERS[similarity]([texts[uid] for uid in new])
            tokens = {**known, **dict(zip(new, split, strict=True))}
            tokens = {uid: tokens[uid] for uid in texts}
            self._tokens[group, similarity] = tokens
            if not any(tokens.values()):
                return None
            bm25 = bm25s.BM25()
            bm25.index(list(tokens.values()), show_progress=False)
            corpus = self._corpora[group, similarity] = _Corpus(list(tokens), bm25)
            return corpus
