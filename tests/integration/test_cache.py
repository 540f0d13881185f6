"""Answers that are kept: never stale, never in the way, computed once."""

from __future__ import annotations

import logging
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import confrag
from confrag.build.cache import make
from confrag.build.trace import Trace
from confrag.cli import main
from confrag.config import load
from confrag.plan import compile_plan
from confrag.registry import FAMILIES, rebuild
from confrag.schema.steps import StepSpec
from tests.chat import chat_server
from tests.engine import Hashed, Workplace, hashed_registered
from tests.integration import servers

STEPS = int(os.environ.get("CONFRAG_CACHE_STEPS", "60"))
BACKENDS = ("memory", "disk", "redis")
CHUNKS = "node_groups.MediumChunk.transform={kind: split, separator: ' | '}"
ANIMALS = "Owls hunt at night | Bees dance | Seals rest on ice"


class GateSpec(StepSpec):
    """Counts the questions that come by, holds them up, and fails where it is told to."""

    kind: Literal["gate"]


class Gate:
    seen: ClassVar[list[str]] = []
    open: ClassVar[threading.Event] = threading.Event()
    error: ClassVar[Exception | None] = None


def build_gate(parts: Any, children: Any) -> Any:
    def gate(nodes: list[Any], query: str = "") -> list[Any]:
        Gate.seen.append(query)
        Gate.open.wait(30)
        if Gate.error:
            raise Gate.error
        return nodes

    return gate


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    steps = dict(FAMILIES["steps"]._kinds)
    with hashed_registered():
        confrag.register("steps", "gate", GateSpec, build_gate)
        yield
        FAMILIES["steps"]._kinds.clear()
        FAMILIES["steps"]._kinds.update(steps)
    rebuild()


@pytest.fixture(autouse=True)
def _gate() -> None:
    Gate.seen.clear()
    Gate.open.set()
    Gate.error = None


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servers.Server, str]]:
    server, url = servers.redis(tmp_path_factory.mktemp("redis"), password="hidden")
    yield server, url
    server.stop()


@pytest.fixture(autouse=True)
def _url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "redis" in request.node.name or "place" in request.fixturenames:
        monkeypatch.setenv("CONFRAG_REDIS_URL", request.getfixturevalue("redis")[1])


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    place = Workplace(tmp_path, common=(CHUNKS, "+recall.steps.gate={kind: gate}"))
    place.write(animals=ANIMALS)
    return place


def cached(*more: str, backend: str = "memory", kind: str = "exact") -> tuple[str, ...]:
    prefix = (f"+cache.backend.prefix=p{time.monotonic_ns()}",) if backend == "redis" else ()
    return (f"cache={kind}", f"cache.backend={{kind: {backend}}}", *prefix, *more)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scope", ["answer", "retrieval"])
def test_a_hit_is_what_was_computed(place: Workplace, backend: str, scope: str) -> None:
    with place.load("map", *cached(f"cache.scope={scope}", backend=backend)) as app:
        first, second = app.ask("owls at night"), app.ask("owls  at night ")
        assert (first.cached, second.cached) == (False, True)
        assert second.text == first.text
        assert second.sources == first.sources
        assert Gate.seen == ["owls at night"]
        if scope == "retrieval":
            assert app.retrieve("owls at night") == list(app.retrieve("owls at night"))
            assert len(Gate.seen) == 1
        assert app.cache is not None
        statistics = app.cache.statistics()
        assert statistics["misses"] == statistics["stores"] == 1
        assert statistics["hits"] >= 1
        assert statistics["saved_s"] > 0


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_a_second_process_finds_it(place: Workplace, backend: str) -> None:
    settings_ = cached(backend=backend)
    with place.load("map", *settings_) as app:
        first = app.ask("owls at night")
    with place.load("map", *settings_) as app:
        second = app.ask("owls at night")
    assert second.cached
    assert second.sources == first.sources


@pytest.mark.parametrize(
    "change",
    [
        "retrievers.chunk.topk=2",
        "retrievers.chunk.similarity_cut_off=0.01",
        "prompts.quoted='Look:'",
        "prompts.answer.citations=none",
        "+models.embed.salt=other",
        "+recall.steps.more={kind: score_threshold, at_least: 0.0}",
        "models.llm.passages=1",
        "cache.scope=retrieval",
    ],
)
def test_what_changes_what_can_be_hit(place: Workplace, change: str) -> None:
    with place.load("map", *cached(backend="disk")) as app:
        app.ask("owls at night")
    with place.load("map", *cached(change, backend="disk")) as app:
        assert not app.ask("owls at night").cached


def test_filters_and_limits_are_part_of_the_question(place: Workplace) -> None:
    place.write(plants="Oaks grow at night | Ferns curl")
    with place.load("map", *cached("cache.scope=retrieval")) as app:
        everything = app.retrieve("at night")
        one = app.retrieve("at night", filters={"file": "plants.txt"})
        assert {hit.file for hit in one} == {"plants.txt"}
        assert app.retrieve("at night") == everything
        assert len(app.retrieve("at night", topk=1)) == 1
        assert len(app.retrieve("at night")) == len(everything)


def test_normalizing(place: Workplace) -> None:
    with place.load("map", *cached("cache.normalize.case=true")) as app:
        app.ask("Owls at night")
        assert app.ask("OWLS\tat ｎｉｇｈｔ").cached
    with place.load("map", *cached("cache.normalize={space: false, width: false, case: false}")) as app:
        app.ask("Owls at night")
        assert not app.ask("owls at night").cached
        assert not app.ask("Owls  at night").cached
        assert app.ask("Owls at night").cached


def test_only_what_is_asked_often_is_kept(place: Workplace) -> None:
    with place.load("map", *cached("cache.min_hits=3")) as app:
        assert [app.ask("owls").cached for _ in range(5)] == [False, False, False, True, True]


def test_entries_grow_old(place: Workplace) -> None:
    with place.load("map", *cached("cache.ttl_s=0.2")) as app:
        app.ask("owls")
        time.sleep(0.3)
        assert not app.ask("owls").cached


@pytest.mark.parametrize("backend", BACKENDS)
def test_near_questions(place: Workplace, backend: str) -> None:
    near = cached("cache.similarity_threshold=0.8", backend=backend, kind="semantic")
    with place.load("map", *near) as app:
        first = app.ask("where do the old owls hunt at night")
        second = app.ask("where do the young owls hunt at night")
        assert second.cached
        assert second.text == first.text
        assert not app.ask("bees and seals").cached
        assert app.ask("bees and seals").cached
        place.write(animals=ANIMALS.replace("Owls", "Wolves"))
        app.ingest()
        assert not app.ask("where do the old owls hunt at night").cached


def test_the_vector_of_a_near_question_is_computed_once(place: Workplace) -> None:
    counted: list[str] = []
    usual = Hashed.query

    def query(self: Hashed, text: str) -> Any:
        counted.append(text)
        return usual(self, text)

    with pytest.MonkeyPatch.context() as patch, place.load("map", *cached(kind="semantic")) as app:
        patch.setattr(Hashed, "query", query)
        app.ask("owls at night")
    assert counted.count("owls at night") == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hundred_at_once_cost_one(place: Workplace, backend: str) -> None:
    Gate.open.clear()
    found: list[confrag.Answer] = []
    with place.load("map", *cached(backend=backend)) as app:
        threads = [threading.Thread(target=lambda: found.append(app.ask("owls at night"))) for _ in range(100)]
        for thread in threads:
            thread.start()
        Gate.open.set()
        for thread in threads:
            thread.join()
    assert len(found) == 100
    assert len({answer.text for answer in found}) == 1
    assert Gate.seen == ["owls at night"]
    assert sum(not answer.cached for answer in found) == 1


def test_what_fails_is_not_kept_and_fails_for_all_who_wait(place: Workplace) -> None:
    Gate.error = confrag.ServiceError("the index is away")
    with place.load("map", *cached()) as app:
        for _ in range(2):
            with pytest.raises(confrag.ServiceError, match="the index is away"):
                app.ask("owls")
        Gate.error = None
        assert not app.ask("owls").cached
        assert app.ask("owls").cached
        Gate.error = confrag.ServiceError("away again")
        Gate.open.clear()
        errors: list[str] = []

        def ask() -> None:
            try:
                app.ask("bees")
            except confrag.ServiceError as error:
                errors.append(str(error))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        Gate.open.set()
        for thread in threads:
            thread.join()
        assert errors == ["away again"] * 4


def test_what_is_partial_is_not_kept(place: Workplace) -> None:
    routes = (
        "recall.steps.routes={kind: parallel, on_error: partial, branches: {a: {kind: retrieve, retriever: chunk}, "
        "b: {kind: pipeline, steps: {r: {kind: retrieve, retriever: other}, g: {kind: gate}}}}}",
        "~recall.steps.routes.retriever",
        "+retrievers.other={group: MediumChunk, similarity: bm25}",
        "~recall.steps.gate",
    )
    with place.load("map", *routes, *cached()) as app:
        Gate.error = confrag.ServiceError("away")
        assert app.ask("owls").partial
        Gate.error = None
        whole = app.ask("owls")
        assert not whole.partial
        assert not whole.cached
        assert app.ask("owls").cached


def test_a_stream_is_kept_and_replayed(place: Workplace) -> None:
    with chat_server(lambda message: "Owls hunt at night [1].") as server:
        llm = ("llm=openai_compatible", f"models.llm.base_url={server.url}", "models.llm.model=test")
        with place.load("map", *llm, *cached()) as app:
            first = app.ask("owls?")
            stream = app.stream("owls?")
            pieces = list(stream)
            assert stream.answer.cached
            assert "".join(pieces) == stream.answer.text == first.text
            assert len(pieces) > 2
            assert len(server.asked) == 1


def test_a_listener_who_leaves_does_not_take_the_others_along(place: Workplace) -> None:
    with place.load("map", *cached()) as app:
        Gate.open.clear()
        stream = app.stream("owls")
        while not Gate.seen:
            time.sleep(0.01)
        found: list[confrag.Answer] = []
        waiting = threading.Thread(target=lambda: found.append(app.ask("owls")))
        waiting.start()
        stream.close()
        Gate.open.set()
        waiting.join(30)
        assert found[0].text


@pytest.mark.parametrize("backend", BACKENDS)
def test_while_rows_are_written_nothing_is_kept(place: Workplace, backend: str) -> None:
    with place.load("map", *cached(backend=backend)) as app:
        Gate.open.clear()
        found: list[confrag.Answer] = []
        asking = threading.Thread(target=lambda: found.append(app.ask("owls at night")))
        asking.start()
        while not Gate.seen:
            time.sleep(0.01)
        place.write(animals=ANIMALS.replace("night", "dusk"))
        app.ingest()
        Gate.open.set()
        asking.join()
        again = app.ask("owls at night")
        assert not again.cached
        assert any("dusk" in source.text for source in again.sources)
        # The documents are as they were: what was found while they changed must not come back.
        place.write(animals=ANIMALS)
        app.ingest()
        assert any("night" in source.text for source in app.ask("owls at night").sources)


edits = st.one_of(
    st.tuples(st.just("write"), st.sampled_from("abc"), st.sampled_from(["Owls hunt | Bees", "Seals | Owls", "Eels"])),
    st.tuples(st.just("remove"), st.sampled_from("abc"), st.just("")),
    st.tuples(st.just("ask"), st.sampled_from(["owls", "bees", "seals on ice", "eels"]), st.just("")),
    st.tuples(st.just("ask"), st.sampled_from(["owls", "bees", "seals on ice", "eels"]), st.just("")),
)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(edits, min_size=10, max_size=40))
def test_never_stale(backend: str, redis: tuple[servers.Server, str], steps: list[tuple[str, str, str]]) -> None:
    never_stale(backend, steps)


def never_stale(backend: str, steps: list[tuple[str, str, str]]) -> int:
    """Drive an engine with a cache and its twin without one; returns how many answers came from the cache."""
    hits = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(Path(folder), common=(CHUNKS,))
        place.write(zebra="Zebras graze.")
        shared = cached("cache.scope=answer", backend=backend)
        with place.load("map", *shared) as app, place.load("map", state=place.root / "twin") as twin:
            for action, name, text in steps:
                if action == "ask":
                    answer, expected = app.ask(name), twin.ask(name)
                    assert answer.text == expected.text
                    assert answer.sources == expected.sources
                    hits += answer.cached
                    continue
                path = place.docs / f"{name}.txt"
                if action == "write":
                    path.write_text(text)
                else:
                    path.unlink(missing_ok=True)
                app.ingest()
                twin.ingest()
    return hits


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_interleavings(backend: str, redis: tuple[servers.Server, str]) -> None:
    """`make test-cache` takes 2,000 steps."""
    chance = random.Random(backend)
    texts = ["Owls hunt | Bees", "Seals | Owls", "Eels hide at night", "Bees dance | Seals rest on ice"]
    questions = ["owls", "bees", "seals on ice", "eels", "who hides at night"]
    steps = []
    for _ in range(STEPS):
        edit = ("write", chance.choice("abcd"), chance.choice(texts))
        removal = ("remove", chance.choice("abcd"), "")
        steps.append(chance.choices([("ask", chance.choice(questions), ""), edit, removal], [6, 3, 1])[0])
    # A corpus that comes back to what it was finds its answers again: they are right, too.
    assert never_stale(backend, steps) > STEPS // 20


def test_redis_that_restarts_under_load(place: Workplace, redis: tuple[servers.Server, str]) -> None:
    """`make test-cache` asks 1,000 questions."""
    server, _ = redis
    count = max(160, STEPS // 2)
    questions = [f"{word} number {number % 40}" for number, word in zip(range(count), cycle(["owls", "bees"]))]
    expected: dict[str, str] = {}
    wrong: list[object] = []
    with place.load("map", *cached(backend="redis")) as app, ThreadPoolExecutor(16) as pool:
        with place.load("map", state=place.root / "twin") as twin:
            for question in dict.fromkeys(questions):
                expected[question] = twin.ask(question).text

        def ask(number: int) -> None:
            try:
                answer = app.ask(questions[number])
                if answer.text != expected[questions[number]]:
                    wrong.append(answer)
            except Exception as error:
                wrong.append(error)

        asked = [pool.submit(ask, number) for number in range(count)]
        for number in (count // 4, count // 2):
            asked[number].result()
            # From here: a server ends with the thread that has started it.
            server.restart()
        for one in asked:
            one.result()
        assert wrong == []
        hit_at_last(app, questions[0])


def hit_at_last(app: confrag.App, question: str) -> None:
    """The place is used again, at the latest a second after it is back."""
    deadline = time.monotonic() + 20
    while not app.ask(question).cached:
        assert time.monotonic() < deadline, "the cache is not used again"
        time.sleep(0.1)


def test_redis_that_goes_away_and_comes_back(
    place: Workplace, redis: tuple[servers.Server, str], caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = redis
    with place.load("map", *cached(backend="redis")) as app, caplog.at_level(logging.WARNING, "confrag"):
        app.ask("owls")
        assert app.ask("owls").cached
        server.stop()
        try:
            for _ in range(5):
                assert not app.ask("owls").cached
        finally:
            server.start()
        hit_at_last(app, "owls")
        assert app.cache is not None
        assert app.cache.statistics()["errors"] >= 1
    messages = [record.getMessage() for record in caplog.records if record.name == "confrag"]
    assert len(messages) == 2
    assert messages[0].startswith("cache (redis) fails (")
    assert messages[0].endswith("questions are answered without it until it is back")
    assert messages[1] == "cache (redis) is back"
    assert "hidden" not in "".join(messages)


def test_a_damaged_entry_is_computed_anew(place: Workplace) -> None:
    import sqlite3

    with place.load("map", *cached(backend="disk")) as app:
        first = app.ask("owls")
    for damaged in ("not json", '{"text": "wrong"}', "[]"):
        with sqlite3.connect(place.state / "answers.sqlite3") as database:
            database.execute("UPDATE entries SET value = ?", (damaged,))
        with place.load("map", *cached(backend="disk")) as app:
            again = app.ask("owls")
            assert not again.cached
            assert again.text == first.text
            assert app.ask("owls").cached


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONFRAG_REDIS_URL", raising=False)
    with pytest.raises(confrag.UserError) as caught:
        confrag.load("map", ["cache=exact", "cache.backend=redis"])
    assert "cache.backend.url_env = 'CONFRAG_REDIS_URL': the environment variable CONFRAG_REDIS_URL is not set" in str(
        caught.value
    )


def test_a_url_that_is_none(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFRAG_REDIS_URL", "http://user:hidden@127.0.0.1")
    with pytest.raises(confrag.UserError) as caught:
        place.load("map", *cached(backend="redis")).start()
    assert str(caught.value) == "CONFRAG_REDIS_URL: is no URL of a Redis server; write redis://HOST:6379/0"


def test_a_model_file_that_is_replaced_is_another_model(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"

    def space() -> str:
        plan = compile_plan(load("map", ["cache=exact", f"models.llm.model={path}"])[1])
        made = make.build(plan, {}, lambda: "same", lambda warning: None)
        assert made is not None
        return made.look("?", Trace()).space

    path.write_bytes(b"one")
    first = space()
    assert space() == first
    path.write_bytes(b"another")
    assert space() != first


@pytest.mark.parametrize("verb", [["cache", "stats"], ["cache", "clear", "answers"], ["doctor", "conf=map"]])
def test_a_redis_that_does_not_answer(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONFRAG_REDIS_URL", "redis://:hidden@127.0.0.1:9/0")
    monkeypatch.chdir(tmp_path)
    assert main([*verb, "cache=exact", "cache.backend=redis", "llm=extractive"]) == 4
    said = "".join(capsys.readouterr())
    assert "the Redis server that CONFRAG_REDIS_URL names does not answer: Error 111 connecting to 127.0.0.1:9" in said
    assert "hidden" not in said


def test_the_totals_of_redis(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_ = cached(backend="redis")
    with place.load("map", *settings_) as app:
        app.ask("owls")
        app.ask("owls")
    with place.load("map", *settings_) as app:
        assert app.cache is not None
        assert app.cache.statistics()["entries"] == 1


def test_a_near_question_without_its_model_is_answered_all_the_same(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    def query(self: Hashed, text: str) -> Any:
        raise confrag.ServiceError("the embedding server is away")

    near = ("recall=lexical", *cached(kind="semantic"))
    with pytest.MonkeyPatch.context() as patch, place.load("map", *near) as app, caplog.at_level(logging.WARNING):
        patch.setattr(Hashed, "query", query)
        assert app.ask("owls").sources
        assert app.ask("bees").sources
    warnings = [record.getMessage() for record in caplog.records if record.name == "confrag"]
    assert len(warnings) == 1
    assert "the embedding server is away" in warnings[0]


def test_sparse_vectors_tell_no_near_questions() -> None:
    with pytest.raises(confrag.ConfigError, match="near questions are told by dense vectors"):
        load("hybrid_sparse", ["cache=semantic", "cache.model=sparse"])
