"""Nested flows at work: steps, merges, ways, deadlines, neighbours."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

import confrag
from confrag.registry import FAMILIES, rebuild
from confrag.schema.steps import StepSpec
from tests.engine import Workplace, hashed_registered

CHUNKS = "node_groups.MediumChunk.transform={kind: split, separator: ' | '}"
SENTENCES = "node_groups.sentence.transform={kind: split, separator: ', '}"
TEXT = "Bees dance, bees hum | Owls hunt, owls sleep | Seals rest, seals swim | Eels migrate, eels hide"


class HeldSpec(StepSpec):
    """Waits until it is let go, or fails."""

    takes = "question"
    kind: Literal["held"]
    fails: bool = False


class Held:
    """A branch that hangs."""

    until: ClassVar[threading.Event] = threading.Event()
    over: ClassVar[threading.Event] = threading.Event()


def build_held(parts: Any, children: Any, *, fails: bool) -> Any:
    def held(query: str) -> list[Any]:
        if fails:
            raise confrag.ServiceError("the far index does not answer")
        Held.until.wait(30)
        Held.over.set()
        return []

    return held


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    steps = dict(FAMILIES["steps"]._kinds)
    with hashed_registered():
        confrag.register("steps", "held", HeldSpec, build_held)
        yield
        FAMILIES["steps"]._kinds.clear()
        FAMILIES["steps"]._kinds.update(steps)
    rebuild()


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    place = Workplace(tmp_path, common=(CHUNKS, SENTENCES))
    place.write(animals=TEXT, plants="Oaks grow | Ferns curl | Mosses creep")
    return place


def texts(hits: list[confrag.Hit]) -> list[str]:
    return [hit.text for hit in hits]


def fan(branches: str, more: str = "") -> tuple[str, str]:
    return f"recall.steps.routes={{kind: parallel, branches: {{{branches}}}{more}}}", "~recall.steps.routes.retriever"


CHUNK = "chunk: {kind: retrieve, retriever: chunk}"


def test_the_parent_and_the_children_of_a_hit(place: Workplace) -> None:
    up = ("retrievers.chunk.group=sentence", "retrievers.chunk.target=MediumChunk", "retrievers.chunk.topk=2")
    with place.load("map", *up) as app:
        # Both sentences of the chunk are hits: it comes once, with the better score.
        (hit,) = app.retrieve("owls hunt sleep")[:1]
        assert hit.text == "Owls hunt, owls sleep"
        best = hit.score
    with place.load("map", "retrievers.chunk.group=sentence", "retrievers.chunk.topk=1") as app:
        assert app.retrieve("owls hunt sleep")[0].score == best
    with place.load("map", "retrievers.chunk.target=sentence", "retrievers.chunk.topk=1") as app:
        hits = app.retrieve("owls hunt")
        assert texts(hits) == ["Owls hunt", "owls sleep"]
        assert len({hit.score for hit in hits}) == 1
    with place.load("map", "retrievers.chunk.target=root", "retrievers.chunk.topk=1") as app:
        assert texts(app.retrieve("owls hunt")) == [TEXT]


def test_a_target_beside_the_group(place: Workplace) -> None:
    beside = ("retrievers.chunk.target=FineChunk", "node_groups.FineChunk.transform={kind: split, separator: ' | '}")
    with place.load("map", *beside, "retrievers.chunk.topk=1") as app:
        found = app.retrieve("Ferns curl")
        assert texts(found) == ["Oaks grow", "Ferns curl", "Mosses creep"]  # those of the same document
        assert {hit.group for hit in found} == {"FineChunk"}


@pytest.mark.parametrize("store", ["map", "milvus_flat", "chroma"])
def test_the_neighbours_of_a_hit(place: Workplace, store: str) -> None:
    with place.load(store, "retrievers.chunk.window=1", "retrievers.chunk.topk=1") as app:
        assert texts(app.retrieve("owls hunt")) == [
            "Owls hunt, owls sleep",
            "Bees dance, bees hum",
            "Seals rest, seals swim",
        ]
        assert texts(app.retrieve("bees dance")) == ["Bees dance, bees hum", "Owls hunt, owls sleep"]
    with place.load(store, "retrievers.chunk.window=1", "retrievers.chunk.topk=7") as app:
        found = texts(app.retrieve("owls hunt"))
        assert len(found) == len(set(found)) == 7  # all are hits, and keep their places
        assert found[0] == "Owls hunt, owls sleep"


def test_one_way_or_the_other(place: Workplace) -> None:
    way = (
        "recall.steps.routes={kind: ifs, when: {language: zh}, then: {kind: retrieve, retriever: words}, "
        "else: {kind: retrieve, retriever: chunk}}",
        "~recall.steps.routes.retriever",
        "+retrievers.words={group: MediumChunk, similarity: bm25_chinese, topk: 2}",
    )
    place.write(chinese="蜜蜂跳舞 | 猫头鹰打猎")
    with place.load("map", *way) as app:
        assert app.retrieve("猫头鹰")[0].route == "words"
        assert app.retrieve("owls")[0].route == "chunk"


def test_a_way_that_is_left_out(place: Workplace) -> None:
    nothing = (
        "recall.steps.routes={kind: ifs, when: {words: {min: 2}}, then: {kind: retrieve, retriever: chunk}}",
        "~recall.steps.routes.retriever",
    )
    unchanged = (
        "+recall.steps.few={kind: ifs, when: {words: {min: 2}}, then: {kind: score_threshold, at_least: 2.0}}",
    )
    with place.load("map", *nothing) as app:
        assert app.retrieve("owls hunt")
        assert app.retrieve("owls") == []
        assert app.ask("owls").sources == ()
    with place.load("map", *unchanged) as app:
        assert app.retrieve("owls hunt") == []
        assert app.retrieve("owls")


def test_steps_behind_steps_know_the_question(place: Workplace) -> None:
    inner = "{kind: pipeline, steps: {a: {kind: keyword, required: [rest, hunt, dance]}, b: {kind: mmr, topk: 2}}}"
    behind = f"+recall.steps.if={{kind: ifs, when: {{chars: {{min: 1}}}}, then: {inner}}}"
    with place.load("map", behind, "recall.steps.routes.retriever=chunk") as app:
        found = texts(app.retrieve("seals rest"))
        assert found[0] == "Seals rest, seals swim"
        assert len(found) == 2


def test_the_best_sentence_of_each_chunk(place: Workplace) -> None:
    routes = fan(CHUNK, ", merge: {kind: rrf, dedupe: parent}")
    with place.load("map", *routes, "retrievers.chunk.group=sentence", "retrievers.chunk.topk=14") as app:
        found = texts(app.retrieve("owls sleep"))
        assert found[0] == "owls sleep"
        assert "Owls hunt" not in found
        assert len(found) == 7


def test_a_branch_that_is_ignored(place: Workplace) -> None:
    merge = ", merge: {kind: priority, priorities: {held: ignore}}"
    with place.load("map", *fan(f"{CHUNK}, held: {{kind: held, fails: true}}", merge)) as app:
        assert app.retrieve("owls hunt")


def test_a_branch_that_fails(place: Workplace) -> None:
    branches = f"{CHUNK}, far: {{kind: held, fails: true}}"
    with place.load("map", *fan(branches)) as app, pytest.raises(confrag.ServiceError, match="the far index does not"):
        app.ask("owls hunt")
    with place.load("map", *fan(branches, ", on_error: partial")) as app:
        answer = app.ask("owls hunt")
        assert answer.partial
        assert answer.missing == {"far": "the far index does not answer"}
        assert answer.sources[0].text == "Owls hunt, owls sleep"
        assert answer.as_dict()["missing"] == answer.missing


def test_all_branches_fail(place: Workplace) -> None:
    fails = "{kind: held, fails: true}"
    branches = f"a: {fails}, b: {{kind: ifs, when: {{chars: {{min: 1}}}}, then: {fails}, else: {CHUNK[7:]}}}"
    with (
        place.load("map", *fan(branches, ", on_error: partial")) as app,
        pytest.raises(confrag.ServiceError, match="the far index does not answer"),
    ):
        app.ask("owls hunt")


def test_a_branch_that_hangs(place: Workplace) -> None:
    Held.until.clear()
    Held.over.clear()
    branches = f"{CHUNK}, far: {{kind: held}}"
    try:
        with place.load("map", *fan(branches, ", deadline_s: 2, on_error: partial")) as app:
            answer = app.ask("owls hunt")
            assert answer.partial
            assert answer.missing == {"far": "branch 'far' gave no result within 2 s"}
            assert answer.sources[0].text == "Owls hunt, owls sleep"
            assert hanging() == 1
            Held.until.set()
            assert Held.over.wait(30)
            wait_until_none_hangs()
            whole = app.ask("owls hunt")
            assert not whole.partial
            assert whole.missing == {}
    finally:
        Held.until.set()


def test_a_deadline_without_partial_answers(place: Workplace) -> None:
    Held.until.clear()
    try:
        with (
            place.load("map", *fan(f"{CHUNK}, far: {{kind: held}}", ", deadline_s: 0.2")) as app,
            pytest.raises(confrag.ServiceError, match=r"branch 'far' gave no result within 0\.2 s"),
        ):
            app.ask("owls hunt")
    finally:
        Held.until.set()
    wait_until_none_hangs()


def hanging() -> int:
    return sum(thread.name == "confrag-branch-far" for thread in threading.enumerate())


def wait_until_none_hangs() -> None:
    end = time.monotonic() + 10
    while hanging() and time.monotonic() < end:
        time.sleep(0.01)
    assert hanging() == 0
