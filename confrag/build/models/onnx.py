"""Embedding and rerank models in ONNX, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from confrag.build.models.pool import TextPool
from confrag.build.models.protocols import Vectors
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError

# Read at import: without it ONNX Runtime writes telemetry files into the user's cache folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from tokenizers import Tokenizer

_INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class OnnxEmbedder:
    """A text encoder: tokens in, one vector out.

    Args:
        path: the folder with ``model.onnx`` and ``tokenizer.json``.
        pooling: how the vectors of the tokens become one: the first (``cls``) or their mean. A graph that pools by
            itself is taken as it is.
        normalize: scale to unit length.
        query_prefix: put before a question.
        passage_prefix: put before a text of the corpus.
        max_length: tokens of a text that are looked at.
        threads: texts worked on at once; 0: as many as there are cores.

    Raises:
        UserError: the folder does not hold such a model.
    """

    def __init__(
        self,
        path: Path,
        *,
        pooling: Literal["cls", "mean"] = "cls",
        normalize: bool = True,
        query_prefix: str = "",
        passage_prefix: str = "",
        max_length: int = 512,
        threads: int = 0,
    ) -> None:
        self._graph = _Graph(path, max_length)
        self._pooling = pooling
        self._normalize = normalize
        self._query_prefix = query_prefix
        self._passage_prefix = passage_prefix
        self._pool = TextPool(threads)
        self._dim = len(self._embed(""))

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return self._dim

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        """Embed the texts of a corpus: `[n, dim] float32`, in the order of `texts`."""
        return self._pool.rows(
            lambda text: self._embed(self._passage_prefix + text), texts, self._dim, "embed", progress
        )

    def query(self, text: str) -> Vectors:
        """Embed a question: `[dim] float32`. Runs in the calling thread, so that no corpus work delays it."""
        return self._embed(self._query_prefix + text)

    def close(self) -> None:
        """Free the model and end its threads."""
        self._pool.close()
        self._graph.close()

    def _embed(self, text: str) -> Vectors:
        hidden = self._graph.run(text)
        if hidden.ndim == 2:  # [tokens, dim]; nothing is padded, so every token counts
            hidden = hidden[0] if self._pooling == "cls" else hidden.mean(axis=0)
        if hidden.ndim != 1:
            raise UserError(f"{self._graph.path} is not a text encoder: its output has the shape {hidden.shape}.")
        if self._normalize:
            hidden = hidden / max(float(np.linalg.norm(hidden)), 1e-12)
        return hidden.astype(np.float32, copy=False)


class OnnxReranker:
    """A cross-encoder: reads question and text together and gives one score.

    Args:
        path: the folder with ``model.onnx`` and ``tokenizer.json``.
        max_length: tokens of question and text together; the longer of the two is cut first.
        threads: pairs worked on at once; 0: as many as there are cores.

    Raises:
        UserError: the folder does not hold such a model.
    """

    def __init__(self, path: Path, *, max_length: int = 512, threads: int = 0) -> None:
        self._graph = _Graph(path, max_length)
        self._pool = TextPool(threads)
        self._score("", "")

    def scores(self, query: str, texts: Sequence[str]) -> Vectors:
        """`[n] float32`: the logits, higher is better, in the order of `texts`."""
        return self._pool.rows(lambda text: self._score(query, text), texts, 1, "rerank", silent)[:, 0]

    def close(self) -> None:
        """Free the model and end its threads."""
        self._pool.close()
        self._graph.close()

    def _score(self, query: str, text: str) -> Vectors:
        logits = self._graph.run(query, text)
        if logits.shape != (1,):
            raise UserError(
                f"{self._graph.path} is not a reranker with one score a pair: its output has the shape {logits.shape}."
            )
        return logits


class _Graph:
    """Tokenizer and session. `run` may be called from many threads at once."""

    def __init__(self, path: Path, max_length: int) -> None:
        self.path = path
        for name in ("model.onnx", "tokenizer.json"):
            if not (path / name).is_file():
                raise UserError(
                    f"{path} has no {name}: a local ONNX model is a folder with model.onnx, tokenizer.json."
                )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # A run stays in the thread that asks for it: the pool runs several texts at once instead.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
            self._session: Any = onnxruntime.InferenceSession(
                str(path / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # both libraries raise their own, without a common base
            raise UserError(f"{path} holds no model that can be loaded: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length, strategy="longest_first")
        self._inputs = [node.name for node in self._session.get_inputs()]
        if unknown := sorted(set(self._inputs) - set(_INPUTS)):
            raise UserError(f"{path} asks for the inputs {', '.join(unknown)}; known are {', '.join(_INPUTS)}.")

    def run(self, text: str, pair: str | None = None) -> NDArray[np.float32]:
        """The first output of the graph for one text or one pair, without the axis of the batch."""
        session = self._session
        if session is None:
            raise RuntimeError(f"the model {self.path} is closed")
        encoding = self._tokenizer.encode(_encodable(text), None if pair is None else _encodable(pair))
        feed = {name: np.array([getattr(encoding, _INPUTS[name])], np.int64) for name in self._inputs}
        try:
            output: NDArray[np.float32] = session.run(None, feed)[0][0]
        except Exception as error:  # see __init__
            raise UserError(
                f"{self.path} failed on a text of {len(encoding.ids)} tokens: {str(error).strip()} "
                "If the model takes fewer tokens, lower max_length."
            ) from error
        return output

    def close(self) -> None:
        # A run that is under way keeps its own reference.
        self._session = None


def _encodable(text: str) -> str:
    # Half of a surrogate pair, as broken files give it, is no Unicode text; the tokenizer refuses it.
    return text.encode("utf-8", "replace").decode("utf-8")


__all__ = ["OnnxEmbedder", "OnnxReranker"]
