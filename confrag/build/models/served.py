"""Embedding and rerank models behind a server, whatever its interface: batches, prefixes, vectors that are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any

import numpy as np

from confrag.build.at_once import at_once
from confrag.build.models.endpoint import Endpoint
from confrag.build.models.protocols import Vectors
from confrag.build.progress import ProgressFn, silent

__all__ = ["ServedEmbedder", "ServedReranker", "batches"]


def batches(texts: Sequence[str], most_texts: int, most_chars: int) -> Iterator[list[str]]:
    """The texts in their order, cut into requests; a text that is too long for any goes alone."""
    batch: list[str] = []
    chars = 0
    for text in texts:
        if batch and (len(batch) == most_texts or chars + len(text) > most_chars):
            yield batch
            batch, chars = [], 0
        batch.append(text)
        chars += len(text)
    if batch:
        yield batch


class ServedEmbedder:
    """An `Embedder` behind a server.

    Args:
        endpoint: where requests go.
        request: from texts to the body of a request.
        response: from the answer, and the number of texts, to a vector of each, in their order.
        batch_texts: texts in a request.
        batch_chars: characters in a request.
        query_prefix: put before a question.
        passage_prefix: put before a text of the corpus.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        request: Callable[[list[str]], Mapping[str, Any]],
        response: Callable[[Any, int], Sequence[Sequence[float]]],
        *,
        batch_texts: int,
        batch_chars: int,
        query_prefix: str = "",
        passage_prefix: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._response = response
        self._batch_texts, self._batch_chars = batch_texts, batch_chars
        self._query_prefix, self._passage_prefix = query_prefix, passage_prefix
        self._dim = 0

    @property
    def dim(self) -> int:
        """Number of components of a vector; asked of the server when it is not known yet."""
        return self._dim or len(self.query("dimension"))

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        """Embed the texts of a corpus: `[n, dim] float32`, unit length, in the order of `texts`.

        Raises:
            ServiceError: the server gives no vectors, or none that can be used.
        """
        if not texts:
            return np.empty((0, self._dim), np.float32)
        prefixed = [self._passage_prefix + text for text in texts]
        parts = list(batches(prefixed, self._batch_texts, self._batch_chars))
        found: dict[int, Vectors] = {}
        done = 0

        def embed(number: int) -> tuple[int, Vectors]:
            return number, self._embed(parts[number])

        for number, rows in at_once(embed, range(len(parts)), self._endpoint.calls.concurrency or 1, Event()):
            found[number] = rows
            done += len(rows)
            progress("embed", done, len(texts))
        return np.concatenate([found[number] for number in range(len(parts))])

    def query(self, text: str) -> Vectors:
        """Embed a question: `[dim] float32`, unit length."""
        vector: Vectors = self._embed([self._query_prefix + text])[0]
        return vector

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def _embed(self, texts: list[str]) -> Vectors:
        return self._endpoint(
            self._request(texts), lambda answer: self._checked(self._response(answer, len(texts)), texts)
        )

    def _checked(self, rows: Sequence[Sequence[float]], texts: list[str]) -> Vectors:
        if len(rows) != len(texts):
            raise ValueError(f"{len(rows)} vectors for {len(texts)} texts")
        if len({len(row) for row in rows}) != 1 or not len(rows[0]):
            raise ValueError("vectors of different lengths, or empty ones")
        vectors = np.asarray(rows, np.float32)
        if self._dim and vectors.shape[1] != self._dim:
            raise ValueError(f"vectors of {vectors.shape[1]} dimensions, after such of {self._dim}")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise ValueError("a vector that is zero or not finite")
        self._dim = vectors.shape[1]
        unit: Vectors = vectors / lengths
        return unit


class ServedReranker:
    """A `RerankModel` behind a server.

    Args:
        endpoint: where requests go.
        request: from a question and texts to the body of a request.
        response: from the answer to pairs of a text's number and its score.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        request: Callable[[str, list[str]], Mapping[str, Any]],
        response: Callable[[Any], Sequence[tuple[int, float]]],
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._response = response

    def scores(self, query: str, texts: Sequence[str]) -> Vectors:
        """`[n] float32`, higher is better, in the order of `texts`.

        Raises:
            ServiceError: the server gives no scores, or not one for each text.
        """
        if not texts:
            return np.empty(0, np.float32)

        def parse(answer: Any) -> Vectors:
            pairs = {int(number): float(score) for number, score in self._response(answer)}
            if pairs.keys() != set(range(len(texts))):
                raise ValueError(f"scores of {len(pairs)} texts, {len(texts)} were sent")
            return np.array([pairs[number] for number in range(len(texts))], np.float32)

        return self._endpoint(self._request(query, list(texts)), parse)

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()
