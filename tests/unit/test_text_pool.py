"""Texts are worked on side by side, each once, in order, and promptly given up."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from confrag.build.models.pool import TextPool, cores
from confrag.build.progress import silent


def letters(text: str) -> np.ndarray:
    return np.array([len(text), text.count("a")], np.float32)


@pytest.fixture
def pool():
    made = TextPool(threads=3)
    yield made
    made.close()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 1000])
def test_rows_come_in_the_order_of_the_texts(pool: TextPool, count: int) -> None:
    texts = ["a" * (i * 7919 % 101) for i in range(count)]
    rows = pool.rows(letters, texts, 2, "embed", silent)
    assert rows.shape == (count, 2)
    assert rows.dtype == np.float32
    assert rows[:, 0].tolist() == [len(text) for text in texts]


def test_a_repeated_text_is_computed_once(pool: TextPool) -> None:
    seen: list[str] = []

    def compute(text: str) -> np.ndarray:
        seen.append(text)
        return letters(text)

    rows = pool.rows(compute, ["a", "bb", "a", "a"], 2, "embed", silent)
    assert sorted(seen) == ["a", "bb"]
    assert rows.tolist() == [[1, 1], [2, 0], [1, 1], [1, 1]]


def test_progress_rises_to_the_total(pool: TextPool) -> None:
    reports: list[tuple[str, int, int]] = []
    pool.rows(letters, [str(i) for i in range(500)], 2, "embed", lambda *report: reports.append(report))
    assert reports == sorted(reports)
    assert reports[-1] == ("embed", 500, 500)
    assert len(reports) > 10


def test_as_many_texts_at_once_as_threads(pool: TextPool) -> None:
    together = threading.Barrier(3, timeout=30)

    def compute(text: str) -> np.ndarray:
        together.wait()
        return letters(text)

    pool.rows(compute, ["a", "b", "c"], 2, "embed", silent)


def test_an_error_ends_the_work_and_the_pool_goes_on(pool: TextPool) -> None:
    done: list[str] = []

    def compute(text: str) -> np.ndarray:
        if text == "3":
            raise ValueError("cannot read 3")
        time.sleep(0.001)
        done.append(text)
        return letters(text)

    with pytest.raises(ValueError, match="cannot read 3"):
        pool.rows(compute, [str(i) for i in range(1000)], 2, "embed", silent)
    given_up = len(done)
    assert given_up < 500
    time.sleep(0.05)
    assert len(done) == given_up
    assert pool.rows(letters, ["a"], 2, "embed", silent).tolist() == [[1, 1]]


def test_an_interrupt_ends_the_work(pool: TextPool) -> None:
    done: list[str] = []

    def compute(text: str) -> np.ndarray:
        time.sleep(0.01)
        done.append(text)
        return letters(text)

    def interrupt(stage: str, finished: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.rows(compute, [str(i) for i in range(1000)], 2, "embed", interrupt)
    assert len(done) < 100


def test_closing_ends_the_threads_and_the_work_of_others() -> None:
    pool = TextPool(threads=2)
    started = threading.Event()
    errors: list[BaseException] = []

    def compute(text: str) -> np.ndarray:
        time.sleep(0.01)
        return letters(text)

    def work() -> None:
        try:
            pool.rows(compute, [str(i) for i in range(1000)], 2, "embed", lambda *report: started.set())
        except RuntimeError as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    started.wait(30)
    pool.close()
    worker.join(30)
    assert not worker.is_alive()
    assert [str(error) for error in errors] == ["the model was closed while it was at work"]
    with pytest.raises(RuntimeError, match="the model is closed"):
        pool.rows(compute, ["a"], 2, "embed", silent)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("confrag-model")]


def test_cores() -> None:
    assert cores(5) == 5
    assert cores() >= 1
