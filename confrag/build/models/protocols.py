"""What the engine asks of a model of each role. Chat models are LazyLLM modules and need no protocol of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from confrag.build.progress import ProgressFn, silent

Vectors = NDArray[np.float32]
SparseVector = dict[int, float]
"""Token id -> weight, a float32 above 0; what is left out is 0."""


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into dense vectors.

    A text's vector must not depend on the texts it is embedded with: an index that grew step by step then equals
    one that was built at once.
    """

    @property
    def dim(self) -> int:
        """Number of components of a vector."""

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        """Embed the texts of a corpus: `[n, dim] float32`, unit length, in the order of `texts`."""

    def query(self, text: str) -> Vectors:
        """Embed a question: `[dim] float32`, unit length."""

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class SparseEmbedder(Protocol):
    """Turns texts into sparse vectors, which are compared by inner product. Otherwise as an `Embedder`."""

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> list[SparseVector]:
        """Embed the texts of a corpus, in the order of `texts`."""

    def query(self, text: str) -> SparseVector:
        """Embed a question."""

    def close(self) -> None:
        """Free the model."""


class AnyEmbedder(Protocol):
    """An `Embedder` or a `SparseEmbedder`."""

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors | list[SparseVector]:
        """Embed the texts of a corpus, in the order of `texts`."""

    def query(self, text: str) -> Vectors | SparseVector:
        """Embed a question."""

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class RerankModel(Protocol):
    """Scores how well texts answer a question."""

    def scores(self, query: str, texts: Sequence[str]) -> Vectors:
        """`[n] float32`, higher is better, in the order of `texts`."""

    def close(self) -> None:
        """Free the model."""
