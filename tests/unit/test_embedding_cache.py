"""The embedding cache and the embedder that uses it."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.build.models.fingerprint import fingerprint
from confrag.build.models.protocols import SparseVector, Vectors
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.plan.model import ModelPlan, Params
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.embedding_cache import EmbeddingCache, cache_file, text_key

LARGE = 2**30


class Counting:
    """A deterministic embedder that remembers what it was asked."""

    dim = 4

    def __init__(self) -> None:
        self.asked: list[str] = []

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        self.asked += texts
        for number in range(len(texts)):
            progress("embed", number + 1, len(texts))
        return np.asarray([[len(text), *map(float, text_key(text)[:3])] for text in texts], np.float32).reshape(-1, 4)

    def query(self, text: str) -> Vectors:
        return self.passages([text])[0]

    def close(self) -> None:
        pass


class Held(Counting):
    """One that says when it is asked, and answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.freed = threading.Event(), threading.Event()

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        self.reached.set()
        assert self.freed.wait(30)
        return super().passages(texts, progress)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    opened = EmbeddingCache(tmp_path / "state" / "embeddings.sqlite3", LARGE)
    yield opened
    opened.close()


def test_two_processes_embed_each_text_once(tmp_path: Path) -> None:
    """The second waits for the first, although it began before the first had kept anything."""
    path = tmp_path / "embeddings.sqlite3"
    first, second = Held(), Counting()
    caches = [EmbeddingCache(path, LARGE), EmbeddingCache(path, LARGE)]
    embedders = [CachedEmbedder(lambda: first, caches[0], "model"), CachedEmbedder(lambda: second, caches[1], "model")]
    with ThreadPoolExecutor(2) as pool:
        begun = pool.submit(embedders[0].passages, ["a", "b", "c"])
        assert first.reached.wait(30)
        waiting = pool.submit(embedders[1].passages, ["b", "c", "d"])
        # The first one holds the line until it has kept its vectors: the second one gets in behind it.
        assert not wait([waiting], timeout=0.3).done
        assert second.asked == []
        first.freed.set()
        assert np.array_equal(begun.result()[1:], waiting.result()[:2])
    assert (first.asked, second.asked) == (["a", "b", "c"], ["d"])
    assert [(embedder.computed, embedder.hits) for embedder in embedders] == [(3, 0), (1, 2)]
    for opened in caches:
        opened.close()


def test_each_text_is_embedded_once(cache: EmbeddingCache) -> None:
    first, second = Counting(), Counting()
    expected = Counting().passages(["a", "b", "a", "c"])
    embedder = CachedEmbedder(lambda: first, cache, "model")
    assert np.array_equal(embedder.passages(["a", "b", "a", "c"]), expected)
    assert (first.asked, embedder.computed, embedder.hits) == (["a", "b", "c"], 3, 0)
    later = CachedEmbedder(lambda: second, cache, "model")
    assert np.array_equal(later.passages(["c", "d", "a"]), Counting().passages(["c", "d", "a"]))
    assert (second.asked, later.computed, later.hits) == (["d"], 1, 2)
    assert cache.stats().entries == {"model": 4}


def test_another_model_has_other_vectors(cache: EmbeddingCache) -> None:
    CachedEmbedder(Counting, cache, "one").passages(["a"])
    other = CachedEmbedder(Counting, cache, "two")
    other.passages(["a"])
    assert (other.computed, other.hits) == (1, 0)


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.lists(st.text(max_size=5), max_size=12), max_size=6))
def test_with_and_without_a_cache_are_equal(batches: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache") / "c.sqlite3", LARGE)
    embedder, bare = CachedEmbedder(Counting, cache, "m"), CachedEmbedder(Counting, None, "m")
    for batch in batches:
        assert np.array_equal(embedder.passages(batch), bare.passages(batch))
    assert embedder.computed == len({text for batch in batches for text in batch})
    cache.close()


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SPARSE = st.dictionaries(st.integers(0, 2**32 - 1), FLOATS, max_size=300)
DENSE = st.lists(FLOATS, max_size=300).map(lambda values: np.array(values, np.float32))


@settings(max_examples=50, deadline=None)
@given(vectors=st.dictionaries(st.binary(min_size=1, max_size=8), st.one_of(SPARSE, DENSE), max_size=5))
def test_vectors_come_back_as_they_were(
    vectors: dict[bytes, SparseVector | Vectors], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache") / "c.sqlite3", LARGE)
    cache.put("m", vectors)
    found = cache.get("m", list(vectors))
    cache.close()
    assert found.keys() == vectors.keys()
    for key, vector in vectors.items():
        assert type(found[key]) is type(vector)
        if isinstance(vector, dict):
            assert list(found[key].items()) == list(vector.items())
        else:
            np.testing.assert_array_equal(found[key], vector)


class Letters:
    """A sparse embedder: how often each letter occurs; nothing of an empty text."""

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> list[SparseVector]:
        return [self.query(text) for text in texts]

    def query(self, text: str) -> SparseVector:
        return {ord(letter): text.count(letter) / 3 for letter in sorted(set(text))}

    def close(self) -> None:
        pass


def test_sparse_vectors_with_and_without_a_cache(cache: EmbeddingCache) -> None:
    texts = ["abba", "", "b", "abba"]
    embedder = CachedEmbedder(Letters, cache, "m")
    expected = [{97: 2 / 3, 98: 2 / 3}, {}, {98: 1 / 3}, {97: 2 / 3, 98: 2 / 3}]
    assert embedder.passages(texts) == expected
    assert embedder.query("c") == {99: 1 / 3}
    again = CachedEmbedder(Letters, cache, "m")
    rounded = [{key: float(np.float32(weight)) for key, weight in vector.items()} for vector in expected]
    assert again.passages(texts) == rounded
    assert (again.computed, again.hits) == (0, 3)


def test_progress_counts_what_is_there_already(cache: EmbeddingCache) -> None:
    CachedEmbedder(Counting, cache, "m").passages(["a", "b"])
    seen: list[tuple[str, int, int]] = []
    CachedEmbedder(Counting, cache, "m").passages(["a", "b", "c"], lambda *report: seen.append(report))
    assert seen == [("embed", 2, 3), ("embed", 3, 3)]


def test_it_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    cache = EmbeddingCache(path, 400_000)
    vector = np.ones(384, np.float32)
    cache.put("m", {text_key(f"old {n}"): vector for n in range(150)})
    with sqlite3.connect(path) as database:
        database.execute("UPDATE vectors SET used = used - 1000")
    for start in range(0, 300, 50):
        cache.put("m", {text_key(f"new {n}"): vector for n in range(start, start + 50)})
    left = cache.stats().entries["m"]
    assert 100 < left < 260
    assert not cache.get("m", [text_key(f"old {n}") for n in range(150)])
    assert len(cache.get("m", [text_key(f"new {n}") for n in range(250, 300)])) == 50
    cache.close()


def test_what_is_used_stays(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    cache = EmbeddingCache(path, 400_000)
    vector = np.ones(384, np.float32)
    cache.put("m", {text_key(f"{n}"): vector for n in range(150)})
    with sqlite3.connect(path) as database:
        database.execute("UPDATE vectors SET used = used - 1000")
    used = [text_key(f"{n}") for n in range(10)]
    assert len(cache.get("m", used)) == 10
    cache.put("m", {text_key(f"new {n}"): vector for n in range(100)})
    assert len(cache.get("m", used)) == 10
    cache.close()


def test_many_keys_at_once(cache: EmbeddingCache) -> None:
    keys = [text_key(str(n)) for n in range(3000)]
    cache.put("m", {key: np.full(3, n, np.float32) for n, key in enumerate(keys)})
    found = cache.get("m", keys)
    assert [int(found[key][0]) for key in keys] == list(range(3000))


def test_clear(cache: EmbeddingCache) -> None:
    cache.put("m", {text_key("a"): np.ones(4, np.float32)})
    assert cache.clear() == 1
    assert cache.stats().entries == {}
    assert cache.get("m", [text_key("a")]) == {}


def _write(path: Path, worker: int) -> None:
    cache = EmbeddingCache(path, LARGE)
    for n in range(40):
        cache.put("m", {text_key(f"{worker} {n}"): np.full(8, worker, np.float32)})
        cache.get("m", [text_key(f"{other} {n}") for other in range(3)])
    cache.close()


def test_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    cache = EmbeddingCache(path, LARGE)
    assert cache.stats().entries == {"m": 120}
    cache.close()


def test_a_cache_that_fails_is_left_alone(cache: EmbeddingCache, tmp_path: Path) -> None:
    warnings: list[str] = []
    embedder = CachedEmbedder(Counting, cache, "m", warnings.append)
    with sqlite3.connect(tmp_path / "state" / "embeddings.sqlite3") as database:
        database.execute("DROP TABLE vectors")
    assert np.array_equal(embedder.passages(["a", "b"]), Counting().passages(["a", "b"]))
    embedder.passages(["c"])
    assert len(warnings) == 1
    assert warnings[0].startswith("the embedding cache failed and is left alone for now: no such table")


def test_a_file_that_is_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(UserError, match=r"c.sqlite3 cannot be used as embedding cache: .* Delete it; it fills again$"):
        EmbeddingCache(path, LARGE)


def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    EmbeddingCache(path, LARGE).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match=r"written by a newer confrag \(version 99, this one knows 1\)"):
        EmbeddingCache(path, LARGE)


def test_the_place(tmp_path: Path) -> None:
    assert cache_file(str(tmp_path)) == tmp_path / "embeddings.sqlite3"


def model(**params: object) -> ModelPlan:
    return ModelPlan("embed", "embed", "local", Params({"model": "bge-small-en", "threads": 0, **params}))


def test_a_fingerprint_holds_what_changes_the_vectors_of_texts() -> None:
    assert fingerprint(model()) == fingerprint(model(threads=4, query_prefix="query: "))
    different = [model(passage_prefix="p: "), model(max_length=128), model(model="e5-small-multilingual")]
    assert len({fingerprint(m) for m in (model(), *different)}) == 4


def test_a_fingerprint_holds_the_files_of_a_model_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"one")
    before = fingerprint(model(model=str(tmp_path)))
    (tmp_path / "model.onnx").write_bytes(b"two")
    assert fingerprint(model(model=str(tmp_path))) != before
