"""The HNSW graph: what it finds, how it grows and shrinks, how it is kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.build.indices import hnsw
from confrag.build.indices.hnsw import HNSWIndex
from confrag.errors import StoreError, UserError
from tests.unit.indexed import GROUP, KEY, Nodes, place, written

DIM = 12
QUESTIONS = np.random.default_rng(7).normal(size=(40, DIM)).astype(np.float32)


def asked(query: str) -> list[float]:
    """The vector of a question, which is a number."""
    return QUESTIONS[int(query)].tolist()


def vectors(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    matrix = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return {f"n{row:05}": vector for row, vector in enumerate(matrix)}


def index(nodes: Nodes, folder: Path | None = None, embed: Callable[[str], Any] = asked, **params: Any) -> HNSWIndex:
    defaults: dict[str, Any] = {"M": 16, "ef_construction": 100, "ef": 64, "space": "cosine", "num_threads": 1}
    return HNSWIndex(place(nodes, folder, embed), **{**defaults, **params})


def found(by: HNSWIndex, query: int = 0, topk: int | None = 10, **more: Any) -> list[tuple[str, float]]:
    nodes = by.query(str(query), GROUP, "cosine", topk=topk, embed_keys=[KEY], **more)
    return [(node.uid, node.similarity_score) for node in nodes]


def compared(nodes: Nodes, query: int, space: str = "cosine") -> dict[str, float]:
    """Every node with its score, best first, by definition."""
    asked_for = QUESTIONS[query]
    scores = {}
    for uid, vector in nodes.held.items():
        lengths = np.linalg.norm(vector) * np.linalg.norm(asked_for)
        cosine = float(vector @ asked_for / lengths) if lengths else 0.0
        distance = float(((vector - asked_for) ** 2).sum())
        scores[uid] = {"cosine": cosine, "ip": float(vector @ asked_for), "l2": 1 / (1 + distance)}[space]
    return dict(sorted(scores.items(), key=lambda hit: -hit[1]))


@pytest.mark.parametrize("space", ["cosine", "ip", "l2"])
def test_scores_of_each_space(space: str) -> None:
    nodes = Nodes(vectors(200))
    by = index(nodes, space=space)
    for query in range(10):
        expected = dict(list(compared(nodes, query, space).items())[:10])
        assert dict(found(by, query)) == pytest.approx(expected, abs=1e-5)
        some = {uid: score for uid, score in compared(nodes, query, space).items() if uid < "n00020"}
        assert dict(found(by, query, 5, filters={"like": "n000[01]"})) == pytest.approx(
            dict(list(some.items())[:5]), abs=1e-5
        )


def test_recall_of_many() -> None:
    nodes = Nodes(vectors(3000))
    by = index(nodes)
    hits = sum(
        len({uid for uid, _ in found(by, query)} & set(list(compared(nodes, query))[:10])) for query in range(40)
    )
    assert hits >= 0.97 * 400


def test_limits() -> None:
    nodes = Nodes({**vectors(300), "zero": np.zeros(DIM, np.float32)})
    by = index(nodes)
    every = compared(nodes, 3)
    assert len(found(by, 3, topk=None)) == 301
    assert dict(found(by, 3, topk=1000)) == pytest.approx(every, abs=1e-5)
    assert every["zero"] == 0
    above = [uid for uid, score in every.items() if score >= 0.3]
    assert sorted(uid for uid, _ in found(by, 3, topk=None, similarity_cut_off=0.3)) == sorted(above)
    assert found(by, 3, topk=None, similarity_cut_off={KEY: 0.3}) == found(by, 3, topk=None, similarity_cut_off=0.3)
    assert found(by, 3, filters={"like": "nobody"}) == []
    for like in ("n0000", "n00", "zero"):  # some, most and one of them
        expected = [uid for uid in every if uid.startswith(like)]
        assert [uid for uid, _ in found(by, 3, filters={"like": like})] == expected[:10]
    assert found(index(Nodes({})), 3) == []


def test_what_cannot_be_answered_is_said() -> None:
    nodes = Nodes(vectors(5))
    with pytest.raises(UserError, match=r"^indices\.mine searches the embedding 'dense', not other$"):
        index(nodes).query("0", GROUP, embed_keys=["other"])
    with pytest.raises(
        UserError, match=r"^indices\.mine: embedding 'dense' is sparse, and kind hnsw compares dense vec"
    ):
        found(index(nodes, embed=lambda query: {3: 0.5}))
    with pytest.raises(
        StoreError, match="have 12 dimensions, that of the query 3: they come from different models; ing"
    ):
        found(index(nodes, embed=lambda query: [1.0, 2.0, 3.0]))


STEPS = st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=40)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 5))
def test_it_follows_every_change(steps: list[tuple[int, bool]], every: int) -> None:
    nodes, known = Nodes({}), vectors(16)
    by = index(nodes)
    for number, (row, add) in enumerate(steps):
        uid = f"n{row:05}"
        if add:
            by.update(written(nodes, **{uid: known[uid]}))
        else:
            nodes.held.pop(uid, None)
            by.remove([uid], GROUP)
        if number % every == 0:
            assert dict(found(by, topk=None)) == pytest.approx(compared(nodes, 0), abs=1e-5)
    assert dict(found(by, topk=None)) == pytest.approx(compared(nodes, 0), abs=1e-5)


def test_it_grows_and_forgets_what_was_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hnsw, "_BATCH", 7)
    every = vectors(400)
    nodes = Nodes(dict(list(every.items())[:10]))
    by = index(nodes)
    by.ready()
    for start in range(10, 400, 30):
        by.update(written(nodes, **dict(list(every.items())[start : start + 30])))
        assert len(found(by, topk=None)) == len(nodes.held)
    for uid in list(nodes.held)[:350]:
        del nodes.held[uid]
        by.remove([uid], GROUP)
        assert [uid for uid, _ in found(by, topk=3)] == list(compared(nodes, 0))[:3]
    assert by._graph.get_current_count() < 80  # 50 and some that were deleted


def test_a_row_that_is_just_being_written_is_found_when_it_is_there() -> None:
    nodes = Nodes({**vectors(5), "late": None})
    by = index(nodes)
    assert len(found(by)) == 5
    nodes.held["late"] = QUESTIONS[0]
    assert found(by)[0][0] == "late"


def saved(nodes: Nodes, folder: Path, **params: Any) -> HNSWIndex:
    by = index(nodes, folder, **params)
    by.ready()
    by.save()
    return by


def test_it_begins_where_it_left_off(tmp_path: Path) -> None:
    nodes = Nodes(vectors(300))
    before = saved(nodes, tmp_path)
    expected = [found(before, query) for query in range(5)]
    nodes.read.clear()
    again = index(nodes, tmp_path)
    assert [found(again, query) for query in range(5)] == expected
    assert nodes.read == []
    again.save()
    assert index(nodes, tmp_path)._snapshot.read() == before.kept  # it was not written once more
    # A search parameter is no reason to build it anew, nor are threads.
    assert found(index(nodes, tmp_path, ef=200, num_threads=2))[:3] == expected[0][:3]
    assert nodes.read == []


def test_whoever_wrote_the_store_last_only_the_difference_is_read(tmp_path: Path) -> None:
    nodes = Nodes(vectors(300))
    saved(nodes, tmp_path)
    nodes.read.clear()
    for uid in ("n00003", "n00004"):
        del nodes.held[uid]
    nodes.held |= {f"more{row}": vector for row, vector in enumerate(vectors(3, seed=1).values())}
    again = saved(nodes, tmp_path)
    assert nodes.read == ["more0", "more1", "more2"]
    assert dict(found(again, topk=None)) == pytest.approx(compared(nodes, 0), abs=1e-5)
    nodes.read.clear()
    third = index(nodes, tmp_path)
    assert dict(found(third, topk=None)) == pytest.approx(compared(nodes, 0), abs=1e-5)
    assert nodes.read == []


def test_what_another_process_has_kept_is_taken_over(tmp_path: Path) -> None:
    nodes = Nodes(vectors(50))
    mine = saved(nodes, tmp_path)
    nodes.held |= {f"more{row}": vector for row, vector in enumerate(vectors(3, seed=1).values())}
    saved(nodes, tmp_path)
    nodes.read.clear()
    mine.remove(None)  # told that something changed
    assert dict(found(mine, topk=None)) == pytest.approx(compared(nodes, 0), abs=1e-5)
    assert nodes.read == []


@pytest.mark.parametrize("params", [{"M": 8}, {"ef_construction": 50}, {"space": "ip"}])
def test_other_parameters_build_it_anew(tmp_path: Path, params: dict[str, Any]) -> None:
    nodes = Nodes(vectors(30))
    saved(nodes, tmp_path)
    nodes.read.clear()
    saved(nodes, tmp_path, **params)
    assert sorted(nodes.read) == sorted(nodes.held)
    nodes.read.clear()
    index(nodes, tmp_path, **params).ready()
    assert nodes.read == []


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink], ids=["cut", "flip", "unlink"])
@pytest.mark.parametrize("name", ["current.json", "v-*/nodes.json", "v-*/graph.bin"])
def test_damaged_it_is_built_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None]
) -> None:
    nodes = Nodes(vectors(60))
    saved(nodes, tmp_path)
    (path,) = tmp_path.glob(name)
    damage(path)
    with caplog.at_level(logging.WARNING, "confrag"):
        again = saved(nodes, tmp_path)
    assert dict(found(again, topk=None)) == pytest.approx(compared(nodes, 0), abs=1e-5)
    told = [record.getMessage() for record in caplog.records]
    if (name, damage) == ("current.json", Path.unlink):
        assert told == []
    else:
        (line,) = told
        assert line.startswith(f"{tmp_path}: the index cannot be used (")
        assert line.endswith("); it is built again")
    nodes.read.clear()
    index(nodes, tmp_path).ready()
    assert nodes.read == []


def test_where_nothing_can_be_kept_it_works_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    nodes = Nodes(vectors(10))
    with caplog.at_level(logging.WARNING, "confrag"):
        by = saved(nodes, tmp_path / "file" / "index")
    assert len(found(by)) == 10
    assert "the index could not be kept: " in caplog.text


def test_nothing_of_a_store_that_fails_half_way_is_held() -> None:
    nodes = Nodes(vectors(10))
    by = index(nodes)
    read = nodes.vectors

    def fail(group: str, embed_key: str, uids: Sequence[str] | None = None) -> Any:
        raise StoreError("the disk is gone")

    nodes.vectors = fail  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="the disk is gone"):
        found(by)
    nodes.vectors = read  # type: ignore[method-assign]
    assert len(found(by)) == 10


def test_several_ask_while_it_changes() -> None:
    nodes, failed = Nodes(vectors(200)), []
    by = index(nodes)
    by.ready()

    def ask() -> None:
        try:
            for query in range(40):
                assert len(found(by, query, 5)) == 5
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for uid, vector in vectors(100, seed=3).items():
        by.update(written(nodes, **{f"more{uid}": vector}))
    for thread in threads:
        thread.join()
    assert failed == []
    assert dict(found(by, topk=None)) == pytest.approx(compared(nodes, 0), abs=1e-5)
