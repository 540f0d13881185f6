"""SPLADE on a small BERT, computed with NumPy: sparse vectors over the words of the model's vocabulary."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from confrag.build.models.pool import TextPool
from confrag.build.models.protocols import SparseVector
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError

_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_WORDS_A_PIECE = 64
"""Columns of the largest product that are computed together: the result stays in a core's cache."""
_OF_ONE_THREAD = 2**18
"""Multiplications up to which OpenBLAS computes a product of matrices in the calling thread. Above it, its own threads
would fight over the cores with the other texts: on two busy cores a text took six times as long."""

Array = NDArray[np.float32]


class SpladeEmbedder:
    """Gives a text a weight for each word that it has or might have (Formal et al., SPLADE, SIGIR 2021).

    The weight of a word is the highest ``log(1 + max(0, logit))`` of the masked language model over the tokens of the
    text; words of weight 0 are left out. Questions and passages are treated alike, and compared by inner product.

    Args:
        path: a folder with a BERT for masked language modelling: ``config.json``, ``model.safetensors``,
            ``tokenizer.json``.
        max_length: tokens of a text that are looked at; no more than the model has places for.
        threads: texts worked on at once; 0: as many as there are cores.

    Raises:
        UserError: the folder does not hold such a model.
    """

    def __init__(self, path: Path, *, max_length: int = 512, threads: int = 0) -> None:
        self._model: _Bert | None = _Bert(path, max_length)
        self._pool = TextPool(threads)

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> list[SparseVector]:
        """Embed the texts of a corpus: token id -> weight for each, in the order of `texts`."""
        return self._pool.each(self._embed, texts, "embed", progress)

    def query(self, text: str) -> SparseVector:
        """Embed a question: token id -> weight. Runs in the calling thread."""
        return self._embed(text)

    def close(self) -> None:
        """Free the model and end its threads."""
        self._pool.close()
        # A text that is being computed keeps its own reference.
        self._model = None

    def _embed(self, text: str) -> SparseVector:
        model = self._model
        if model is None:
            raise RuntimeError("the model is closed")
        # The logarithm grows with its argument, so that it can be taken of the highest logits alone.
        highest = model.highest_logits(text)
        ids = np.flatnonzero(highest > 0)
        return dict(zip(ids.tolist(), np.log1p(highest[ids]).tolist(), strict=True))


class _Bert:
    """Tokenizer and weights of a BERT for masked language modelling. Read-only, so that calls need no lock."""

    def __init__(self, path: Path, max_length: int) -> None:
        for name in _FILES:
            if not (path / name).is_file():
                raise UserError(f"{path} has no {name}: a SPLADE model is a folder with {', '.join(_FILES)}.")
        try:
            config = json.loads((path / "config.json").read_bytes())
            self._weights = _tensors(path / "model.safetensors")
            self._words = _split(self._weights["bert.embeddings.word_embeddings.weight"])
            self._tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
            self._layers, self._heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
            self._epsilon, longest = float(config["layer_norm_eps"]), int(config["max_position_embeddings"])
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(min(max_length, longest))
            self.highest_logits("")
        except Exception as error:  # the tokenizers library raises its own, without a common base
            raise UserError(f"{path} holds no SPLADE model that can be loaded: {error!r}") from error

    def highest_logits(self, text: str) -> Array:
        """`[vocabulary] float32`: the highest logit of each word over the tokens of the text."""
        # Half of a surrogate pair, as broken files give it, is no Unicode text; the tokenizer refuses it.
        ids = self._tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8")).ids
        hidden = self._encode(np.array(ids))
        hidden = self._norm(_gelu(self._dense(hidden, "cls.predictions.transform.dense")), "cls.predictions.transform")
        pieces: Array = np.max([piece.max(axis=1) for piece in _pieces(hidden, self._words)], axis=0)
        bias = self._weights["cls.predictions.bias"]
        return pieces.reshape(-1)[: len(bias)] + bias

    def _encode(self, ids: NDArray[np.int64]) -> Array:
        """`[tokens, width] float32`: the last hidden states of token ids `[tokens]`."""
        tables = "bert.embeddings.{}_embeddings.weight".format
        words, places, types = (self._weights[tables(name)] for name in ("word", "position", "token_type"))
        hidden = self._norm(words[ids] + places[: len(ids)] + types[0], "bert.embeddings")
        for number in range(self._layers):
            layer = f"bert.encoder.layer.{number}"
            attended = self._dense(self._attend(hidden, f"{layer}.attention.self"), f"{layer}.attention.output.dense")
            hidden = self._norm(hidden + attended, f"{layer}.attention.output")
            wide = _gelu(self._dense(hidden, f"{layer}.intermediate.dense"))
            hidden = self._norm(hidden + self._dense(wide, f"{layer}.output.dense"), f"{layer}.output")
        return hidden

    def _attend(self, hidden: Array, name: str) -> Array:
        """Attention of every token to every one: `[tokens, width]` to the same shape."""
        tokens, width = hidden.shape
        query, key, value = (
            self._dense(hidden, f"{name}.{part}").reshape(tokens, self._heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = _product(query, key.swapaxes(1, 2)) / np.float32(math.sqrt(width // self._heads))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended: Array = _product(weights, value).swapaxes(0, 1).reshape(tokens, width)
        return attended

    def _dense(self, hidden: Array, name: str) -> Array:
        return _product(hidden, self._weights[f"{name}.weight"].T) + self._weights[f"{name}.bias"]

    def _norm(self, hidden: Array, name: str) -> Array:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        # The checkpoint has the names of the original TensorFlow one.
        result: Array = (
            centred / deviation * self._weights[f"{name}.LayerNorm.gamma"] + self._weights[f"{name}.LayerNorm.beta"]
        )
        return result


def _pieces(left: Array, right: Array) -> Iterator[Array]:
    """``left @ right`` (`[..., n, k]` by `[..., k, m]`) a few rows at a time."""
    rows = max(1, _OF_ONE_THREAD // (right.shape[-2] * right.shape[-1]))
    for start in range(0, left.shape[-2], rows):
        yield left[..., start : start + rows, :] @ right


def _product(left: Array, right: Array) -> Array:
    return np.concatenate(list(_pieces(left, right)), axis=-2)


def _split(table: Array) -> Array:
    """A table `[words, width]` for `_pieces`: `[pieces, width, words of a piece]`, filled up with zeros."""
    words, width = table.shape
    pieces = -(-words // _WORDS_A_PIECE)
    filled = np.zeros((pieces * _WORDS_A_PIECE, width), np.float32)
    filled[:words] = table
    return np.ascontiguousarray(filled.reshape(pieces, _WORDS_A_PIECE, width).swapaxes(1, 2))


def _gelu(hidden: Array) -> Array:
    result: Array = hidden * np.float32(0.5) * (1 + erf(hidden * np.float32(math.sqrt(0.5))))
    return result


def _tensors(path: Path) -> dict[str, Array]:
    """The tensors of a safetensors file: the length of a JSON header, the header, and then the data."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    return {
        name: np.frombuffer(data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], "<f4").reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


__all__ = ["SpladeEmbedder"]
