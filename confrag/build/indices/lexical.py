"""BM25 over the texts of node groups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bm25s
import numpy as np
from lazyllm.tools.rag.index_base import IndexBase
from numpy.typing import NDArray

from confrag.build.indices.mirror import Mirror
from confrag.build.indices.nodes import NodeReader, best
from confrag.build.indices.snapshot import Kept, Snapshot, folder_name
from confrag.build.indices.tokens import Tokenizer, chinese, english
from confrag.errors import UserError, nearest
from confrag.schema.filters import Filters

if TYPE_CHECKING:
    from lazyllm.tools.rag import DocNode

__all__ = ["TOKENIZERS", "LexicalIndex"]

TOKENIZERS: Mapping[str, Tokenizer] = {"bm25": english, "bm25_chinese": chinese}
"""LazyLLM's names of the text similarities, and how each splits texts."""
_FORMAT = 1
"""To be raised when texts are split otherwise than before."""
_SPLIT_BY = {"bm25": ("bm25s", "pystemmer"), "bm25_chinese": ("bm25s", "jieba", "lazyllm")}
"""Packages that the words of a text depend on."""


class LexicalIndex(IndexBase):  # type: ignore[misc]
    """BM25 (Lucene's variant, k1 1.5, b 0.75, by bm25s) of the groups that are asked for, kept beside the store.

    A text is split into words once: what was split lies on disk, and a change is taken in at the first query after
    it. Works with every store. Safe for threads.

    Args:
        nodes: the stored nodes.
        folder: where it is kept; None: in memory only.
        serves: (group, similarity) that `ready` and `save` see to.
    """

    def __init__(self, nodes: NodeReader, folder: Path | None = None, serves: Sequence[tuple[str, str]] = ()) -> None:
        self._nodes = nodes
        self._folder = folder
        self._words: dict[tuple[str, str], _Words] = {}
        for group, similarity in serves:
            self._of(group, similarity)

    def unkept(self) -> list[str]:
        """What it serves and would have to build as a whole."""
        return [f"{similarity} of {group}" for (group, similarity), words in self._words.items() if not words.is_kept()]

    def update(self, nodes: Sequence[DocNode]) -> None:
        """Take notice of nodes that were written to the store."""
        for words in list(self._words.values()):
            words.update(nodes)

    def remove(self, uids: Sequence[str] | None, group_name: str | None = None) -> None:
        """Take notice of nodes that were removed from the store, or, when `uids` is None, of any change to it."""
        for words in list(self._words.values()):
            words.remove(uids, group_name)

    def ready(self) -> None:
        """Bring it in line with the store now. Raises StoreError when that fails."""
        for words in list(self._words.values()):
            words.ready()

    def save(self) -> None:
        """Keep it on disk, if it changed; to be called by the one process that may write the collection."""
        for words in list(self._words.values()):
            words.save()

    def query(
        self,
        query: str,
        group_name: str,
        similarity_name: str | None = "bm25",
        similarity_cut_off: float = float("-inf"),
        topk: int | None = 10,
        embed_keys: Sequence[str] | None = None,
        filters: Filters | None = None,
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
        uids, bm25 = self._of(group_name, similarity).searched()
        if bm25 is None:
            return []
        scores = bm25.get_scores(TOKENIZERS[similarity]([query])[0])
        # Lucene's scores are positive wherever a word of the query occurs.
        rows: list[int] = np.flatnonzero((scores > 0) & (scores >= similarity_cut_off)).tolist()
        if filters:
            within = self._nodes.matching(group_name, filters)
            rows = [row for row in rows if uids[row] in within]
        ranked = best([uids[row] for row in rows], scores[rows], topk)
        nodes = self._nodes.nodes(group_name, [uid for uid, _ in ranked])
        return [node.with_sim_score(score) for node, (_, score) in zip(nodes, ranked, strict=True)]

    def _of(self, group: str, similarity: str) -> _Words:
        if similarity not in TOKENIZERS:
            close = nearest(similarity, TOKENIZERS)
            hint = f" Did you mean '{close}'?" if close else ""
            raise UserError(f"similarity '{similarity}' is not one of texts: {', '.join(TOKENIZERS)}.{hint}")
        if (known := self._words.get((group, similarity))) is not None:
            return known
        snapshot = None
        if self._folder is not None:
            versions = [f"{package} {version(package)}" for package in _SPLIT_BY[similarity]]
            made = {"group": group, "similarity": similarity, "format": _FORMAT, "by": versions}
            snapshot = Snapshot(self._folder / folder_name(f"{group} {similarity}"), made)
        return self._words.setdefault((group, similarity), _Words(self._nodes, group, snapshot, similarity))


class _Words(Mirror):
    """The words of a group's texts as numbers, and BM25 over them.

    On disk, beside the files of bm25s: the uids, and the numbers of the words, text by text; the latter are read only
    when something changed.
    """

    def __init__(self, nodes: NodeReader, group: str, snapshot: Snapshot | None, similarity: str) -> None:
        super().__init__(nodes, group, snapshot)
        self._similarity = similarity
        self.clear()

    def clear(self) -> None:
        """Forget every text."""
        self._uids: list[str] = []
        self._bm25: Any = None
        self._tokens: list[NDArray[np.int32]] | None = []

    def held(self) -> Sequence[str]:
        """Uids of the texts."""
        return self._uids

    def searched(self) -> tuple[Sequence[str], Any]:
        """Uids by row, and the BM25 of these rows, None when there are no words. Neither ever changes."""
        with self.current():
            return self._uids, self._bm25

    def change(self, gone: Sequence[str], new: Sequence[str]) -> None:
        """Split new texts, and weigh all words anew: each weight depends on all texts."""
        try:
            tokens = dict(zip(self._uids, self._read_tokens(), strict=True))
        except (OSError, ValueError):
            # What is on disk is not what it began with: damaged, or another process has written it anew.
            self.clear()
            tokens, gone, new = {}, (), self.nodes.uids(self.group)
        for uid in gone:
            del tokens[uid]
        vocabulary: dict[str, int] = dict(self._bm25.vocab_dict) if self._bm25 and tokens else {}
        texts = dict(self.nodes.texts(self.group, new if tokens else None)) if new else {}
        split = TOKENIZERS[self._similarity](list(texts.values())) if texts else []
        for uid, words in zip(texts, split, strict=True):
            numbers = [vocabulary.setdefault(word, len(vocabulary)) for word in words]
            tokens[uid] = np.array(numbers, np.int32)
        uids = sorted(tokens)
        rows, vocabulary = _without_unused([tokens[uid] for uid in uids], vocabulary)
        self._uids, self._tokens, self._bm25 = uids, rows, _weighed(rows, vocabulary) if vocabulary else None

    def restore(self, kept: Kept) -> None:
        """Take over what is on disk; the words of each text only when they are needed."""
        uids = json.loads(kept.path("uids.json").read_text("utf-8"))
        bm25 = None
        if "bm25" in {name.partition(".")[0] for name in kept.files}:
            for name in kept.files:
                if name != _TOKENS:
                    kept.path(name)
            bm25 = bm25s.BM25.load(kept.folder, **_NAMES)
            if bm25.scores["num_docs"] != len(uids):
                raise ValueError("it holds another number of texts")
        self._uids, self._bm25, self._tokens = uids, bm25, None

    def fill(self, folder: Path) -> None:
        """Write uids, words and BM25."""
        rows = self._read_tokens()
        (folder / "uids.json").write_text(json.dumps(self._uids), "utf-8")
        with (folder / _TOKENS).open("wb") as file:
            np.save(file, np.array([len(row) for row in rows], np.int64), allow_pickle=False)
            np.save(file, np.concatenate([*rows, np.zeros(0, np.int32)], dtype=np.int32), allow_pickle=False)
        if self._bm25 is not None:
            self._bm25.save(folder, **_NAMES)

    def _read_tokens(self) -> list[NDArray[np.int32]]:
        if self._tokens is None:
            assert self.kept is not None
            with self.kept.path(_TOKENS).open("rb") as file:
                lengths, numbers = np.load(file, allow_pickle=False), np.load(file, allow_pickle=False)
            self._tokens = np.split(numbers, np.cumsum(lengths)[:-1])
        return self._tokens


_TOKENS = "tokens.npy"
_NAMES = {
    "data_name": "bm25.data.npy",
    "indices_name": "bm25.indices.npy",
    "indptr_name": "bm25.indptr.npy",
    "vocab_name": "bm25.vocabulary.json",
    "params_name": "bm25.parameters.json",
}


def _weighed(rows: list[NDArray[np.int32]], vocabulary: Mapping[str, int]) -> Any:
    """What ``bm25s.BM25().index((rows, vocabulary))`` makes, text by text, in a tenth of the time."""
    bm25 = bm25s.BM25()
    lengths = np.array([len(row) for row in rows])
    texts = np.repeat(np.arange(len(rows)), lengths)
    pairs, counts = np.unique(np.concatenate(rows).astype(np.int64) * len(rows) + texts, return_counts=True)
    words, texts = np.divmod(pairs, len(rows))
    found_in = np.bincount(words, minlength=len(vocabulary))
    idf = np.log(1 + (len(rows) - found_in + 0.5) / (found_in + 0.5))
    length = bm25.k1 * (1 - bm25.b + bm25.b * lengths / lengths.mean())
    bm25.scores = {
        "data": (idf[words] * counts / (counts + length[texts])).astype(bm25.dtype),
        "indices": texts.astype(bm25.int_dtype),
        "indptr": np.concatenate([[0], np.cumsum(found_in)]).astype(bm25.int_dtype),
        "num_docs": len(rows),
    }
    bm25.vocab_dict, bm25.nonoccurrence_array = vocabulary, None
    return bm25


def _without_unused(
    rows: list[NDArray[np.int32]], vocabulary: Mapping[str, int]
) -> tuple[list[NDArray[np.int32]], dict[str, int]]:
    """Number the words anew, so that each occurs."""
    used = np.zeros(len(vocabulary), bool)
    for row in rows:
        used[row] = True
    if used.all():
        return rows, dict(vocabulary)
    numbers = np.cumsum(used, dtype=np.int32) - 1
    return [numbers[row] for row in rows], {word: int(numbers[n]) for word, n in vocabulary.items() if used[n]}
