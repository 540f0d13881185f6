"""The vectors of questions: each computed once, for all who ask at the same time, and not one after the other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from confrag.build import prepare

prepare()

from confrag.build.document import QueryEmbedding  # noqa: E402


class Gate:
    """An embedder whose questions wait for each other, or fail."""

    def __init__(self, together: int) -> None:
        self.asked: list[str] = []
        self.fails = False
        self._barrier = threading.Barrier(together, timeout=20)

    def query(self, text: str) -> np.ndarray:
        self.asked.append(text)
        if self.fails:
            raise RuntimeError("away")
        self._barrier.wait()
        return np.array([len(text)], np.float32)


def test_different_questions_are_embedded_at_once() -> None:
    gate = Gate(together=3)  # one that came after the other would wait for ever
    embed = QueryEmbedding(gate)  # type: ignore[arg-type]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(embed, ["a", "bb", "ccc"])) == [[1.0], [2.0], [3.0]]


def test_the_same_question_is_embedded_once() -> None:
    gate = Gate(together=1)
    embed = QueryEmbedding(gate, remember=2)  # type: ignore[arg-type]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(embed, ["a"] * 8)) == [[1.0]] * 8
    assert gate.asked == ["a"]
    embed("b"), embed("c"), embed("a")
    assert gate.asked == ["a", "b", "c", "a"]  # two are remembered


def test_a_failure_is_not_remembered() -> None:
    gate = Gate(together=1)
    embed = QueryEmbedding(gate)  # type: ignore[arg-type]
    gate.fails = True
    with pytest.raises(RuntimeError, match="away"):
        embed("a")
    gate.fails = False
    assert embed("a") == [1.0]
