"""An embedder that asks the cache first, and keeps what it computes as it goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import cast

import numpy as np

from confrag.build.models.protocols import AnyEmbedder, SparseVector, Vectors
from confrag.build.progress import ProgressFn, silent
from confrag.runtime.embedding_cache import EmbeddingCache, text_key
from confrag.runtime.lazy_model import LazyModel

__all__ = ["CachedEmbedder"]

_STEP = 256
"""Texts that are embedded before their vectors are kept: what a killed process loses at most."""


class CachedEmbedder:
    """An embedder over another one, of dense or of sparse vectors.

    A cache that fails is left alone from then on, and said so once.

    Attributes:
        hits: texts whose vectors were in the cache.
        computed: texts that went through the model.

    Args:
        load: gives the embedder that computes what the cache does not have; called when it is first needed.
        cache: where vectors are kept; None: nowhere.
        fingerprint: of the model, see `confrag.build.models.fingerprint`.
        warn: told when the cache fails.
    """

    def __init__(
        self,
        load: Callable[[], AnyEmbedder],
        cache: EmbeddingCache | None,
        fingerprint: str,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._model: LazyModel[AnyEmbedder] = LazyModel(load)
        self._cache = cache
        self._fingerprint = fingerprint
        self._warn = warn
        self.hits = 0
        self.computed = 0

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors | list[SparseVector]:
        """Embed the texts of a corpus, in their order: `[n, dim] float32` (`[0, 0]` of none), or sparse vectors."""
        keys = [text_key(text) for text in texts]
        distinct = dict(zip(keys, texts, strict=True))
        found = self._get(list(distinct))
        self.hits += len(found)
        missing = [key for key in distinct if key not in found]
        base = len(found)
        progress("embed", base, len(distinct))
        for start in range(0, len(missing), _STEP):
            step = missing[start : start + _STEP]

            def report(stage: str, done: int, total: int, base: int = base + start) -> None:
                progress(stage, base + done, len(distinct))

            with self._cache.computing() if self._cache else nullcontext():
                # Another process may have embedded them since.
                known = self._get(step)
                self.hits += len(known)
                found.update(known)
                texts = [distinct[key] for key in step if key not in known]
                if texts:
                    found.update(self._compute(texts, report))
        if not keys:
            return np.empty((0, 0), np.float32)
        if any(isinstance(vector, Mapping) for vector in found.values()):
            return [cast("SparseVector", found[key]) for key in keys]
        return np.stack([cast("Vectors", found[key]) for key in keys])

    def query(self, text: str) -> Vectors | SparseVector:
        """Embed a question; questions are not kept."""
        return self._model().query(text)

    def close(self) -> None:
        """Free the model, if it was loaded; the cache belongs to somebody else."""
        self._model.close()

    def _compute(self, texts: Sequence[str], progress: ProgressFn) -> dict[bytes, Vectors | SparseVector]:
        vectors = self._model().passages(texts, progress)
        computed: dict[bytes, Vectors | SparseVector] = dict(zip(map(text_key, texts), vectors, strict=True))
        self.computed += len(computed)
        self._put(computed)
        return computed

    def _get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors | SparseVector]:
        try:
            return self._cache.get(self._fingerprint, keys) if self._cache else {}
        except sqlite3.Error as error:
            self._give_up(error)
            return {}

    def _put(self, vectors: dict[bytes, Vectors | SparseVector]) -> None:
        try:
            if self._cache:
                self._cache.put(self._fingerprint, vectors)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        self._cache = None
        self._warn(f"the embedding cache failed and is left alone for now: {error}")
