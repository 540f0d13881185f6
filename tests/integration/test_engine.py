"""The engine from Python: real models, real stores, real files."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import confrag

pytestmark = pytest.mark.models

STORES = ["map", "chroma", "milvus_flat", "milvus_hnsw", "map_milvus_index"]
TEXTS = {
    "bees.txt": "A queen bee lays up to two thousand eggs a day in spring. Worker bees live for about six weeks.",
    "tea.md": "# Tea\n\nGreen tea is brewed at eighty degrees. Black tea is brewed with boiling water.",
    "canal.html": "<html><body><h1>Canal</h1><p>The lock at Marsden lifts boats by nine metres.</p></body></html>",
}
QUESTIONS = {
    "How many eggs does a queen bee lay?": "bees.txt",
    "How hot is the water for green tea?": "tea.md",
    "How far does the lock at Marsden lift boats?": "canal.html",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def overrides(corpus: Path, *more: str) -> list[str]:
    return [f"corpus.path='{corpus}'", f"state_dir='{corpus.parent / 'state'}'", "llm=extractive", *more]


@pytest.fixture
def app(corpus: Path) -> Iterator[confrag.App]:
    with confrag.load("hybrid", overrides=overrides(corpus)) as started:
        yield started


@pytest.mark.parametrize("store", STORES)
def test_every_store_finds_the_right_file(store: str, corpus: Path) -> None:
    with confrag.load(store, overrides=overrides(corpus)) as app:
        for question, file in QUESTIONS.items():
            answer = app.ask(question)
            assert answer.sources[0].file == file
            scores = [source.score for source in answer.sources]
            assert scores == sorted(scores, reverse=True)
            assert scores[0] > 0.5
        assert app.corpus.nodes == {"MediumChunk": 3}
        assert app.corpus.embedded == 3


@pytest.mark.parametrize("store", ["chroma", "milvus_hnsw"])
def test_a_second_start_stores_nothing_twice(store: str, corpus: Path) -> None:
    for _ in range(2):
        with confrag.load(store, overrides=overrides(corpus, "retrievers.chunk.topk=20")) as app:
            hits = app.retrieve("tea")
            assert sorted(hit.file for hit in hits) == sorted(TEXTS)
    (corpus / "bees.txt").unlink()
    with confrag.load(store, overrides=overrides(corpus, "retrievers.chunk.topk=20")) as app:
        assert sorted(hit.file for hit in app.retrieve("bees")) == ["canal.html", "tea.md"]


def test_each_text_is_embedded_once_for_all_stores(corpus: Path) -> None:
    counts = []
    for store in STORES:
        with confrag.load(store, overrides=overrides(corpus)) as app:
            counts.append((app.corpus.embedded, app.corpus.embedding_cache_hits))
            assert app.ask("How hot is the water for green tea?").sources[0].file == "tea.md"
    assert counts == [(3, 0)] + [(0, 3)] * (len(STORES) - 1)
    (corpus / "bees.txt").write_text("Bumble bees nest in the ground.", "utf-8")
    with confrag.load("map", overrides=overrides(corpus)) as app:
        assert (app.corpus.embedded, app.corpus.embedding_cache_hits) == (1, 0)
    with confrag.load("chroma", overrides=overrides(corpus)) as app:
        assert (app.corpus.embedded, app.corpus.embedding_cache_hits) == (0, 1)


def test_the_graph_is_lazyllms(app: confrag.App) -> None:
    import lazyllm

    assert isinstance(app.graph, lazyllm.pipeline)
    reply = app.graph("How hot is the water for green tea?")
    assert "eighty degrees" in reply.text
    described = app.describe()
    assert described["name"] == "hybrid"
    assert {"source": "query", "target": "recall.routes.chunk"} in described["edges"]


def test_answers_carry_numbered_sources_timings_and_routes(app: confrag.App) -> None:
    answer = app.ask("How hot is the water for green tea?")
    assert "[1]" in answer.text
    assert "eighty degrees" in answer.text
    assert answer.sources[0].route == "chunk+lexical"
    assert set(answer.timings_ms) == {"rewrite", "retrieve", "rerank", "generate", "total"}
    assert 0 < answer.timings_ms["retrieve"] <= answer.timings_ms["total"]
    assert answer.as_dict()["answer"] == answer.text


def test_retrieve_gives_as_many_as_asked_for(app: confrag.App) -> None:
    assert len(app.retrieve("tea", topk=1)) == 1
    assert len(app.retrieve("tea", topk=50)) == 3


def test_many_threads_at_once_get_their_own_answers(app: confrag.App) -> None:
    questions = list(QUESTIONS) * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(app.ask, questions))
    assert [answer.query for answer in answers] == questions
    assert [answer.sources[0].file for answer in answers] == [QUESTIONS[question] for question in questions]


def test_stream_and_async_twins(app: confrag.App) -> None:
    question = "How many eggs does a queen bee lay?"
    whole = app.ask(question)
    stream = app.stream(question)
    assert "".join(stream) == whole.text
    assert stream.answer.sources == whole.sources

    async def both() -> tuple[str, str, int]:
        text = (await app.aask(question)).text
        streamed = "".join([piece async for piece in app.astream(question)])
        return text, streamed, len(await app.aretrieve(question))

    assert asyncio.run(both()) == (whole.text, whole.text, 3)


def test_nothing_found_is_said(corpus: Path) -> None:
    with confrag.load("quickstart", overrides=overrides(corpus, "recall=lexical")) as app:
        answer = app.ask("zzyzx")
    assert answer.sources == ()
    assert answer.text == "Nothing in the corpus matches this question, so there is no answer to give."


def test_an_empty_question_is_refused(app: confrag.App) -> None:
    with pytest.raises(confrag.UserError, match="query: the question is empty"):
        app.ask("  \n")


def test_unreadable_files_are_reported_and_the_run_goes_on(corpus: Path) -> None:
    (corpus / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (corpus / "empty.txt").touch()
    (corpus / "folder.pdf").mkdir()
    with confrag.load("quickstart", overrides=overrides(corpus)) as app:
        failed = {entry.file: entry.reason for entry in app.corpus.failed}
        assert set(failed) == {"broken.pdf", "empty.txt", "folder.pdf"}
        assert failed["empty.txt"] == "empty (0 bytes)"
        assert app.ask("How hot is the water for green tea?").sources[0].file == "tea.md"
    strict = confrag.load("quickstart", overrides=overrides(corpus, "corpus.on_error=fail"))
    with pytest.raises(confrag.UserError, match=r"\(corpus.on_error=fail\)$"):
        strict.start()


def test_a_corpus_without_a_readable_file_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "empty.txt").touch()
    with pytest.raises(confrag.UserError, match=r"no file could be read \(empty.txt: empty"):
        confrag.load("quickstart", overrides=overrides(folder)).start()


def test_a_store_that_confrag_did_not_make_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    precious = tmp_path / "mine.db"
    precious.mkdir()
    (precious / "data").write_text("precious")
    own = overrides(corpus, f"store_conf.kwargs.uri='{precious}'")
    with pytest.raises(confrag.UserError, match="exists and was not made by confrag"):
        confrag.load("milvus_flat", overrides=own).start()
    assert (precious / "data").read_text() == "precious"


def test_a_store_at_a_place_of_the_users_is_rebuilt(corpus: Path, tmp_path: Path) -> None:
    own = overrides(corpus, f"store_conf.kwargs.uri='{tmp_path / 'new.db'}'")
    for _ in range(2):
        with confrag.load("milvus_flat", overrides=own) as app:
            assert app.ask("How hot is the water for green tea?").sources[0].file == "tea.md"


def test_a_milvus_file_belongs_to_one_process_and_a_second_one_says_so_at_once(corpus: Path) -> None:
    second = confrag.load("milvus_flat", overrides=overrides(corpus, "lock_timeout_s=1000"))
    with (
        confrag.load("milvus_flat", overrides=overrides(corpus)),
        pytest.raises(confrag.UserError, match=r"in use by another process \(pid \d+\): Milvus Lite's files"),
    ):
        second.start()
    with confrag.load("milvus_flat", overrides=overrides(corpus)) as app:
        assert app.retrieve("tea")


def test_close_frees_everything_and_may_be_repeated(corpus: Path) -> None:
    before = set(threading.enumerate())
    app = confrag.load("milvus_hnsw", overrides=overrides(corpus)).start()
    app.ask("tea")
    app.close()
    app.close()
    left = [thread.name for thread in set(threading.enumerate()) - before if not thread.daemon]
    assert not [name for name in left if "global_processor" not in name]
    with pytest.raises(confrag.UserError, match="the engine is not started"):
        app.ask("tea")


def test_a_store_that_breaks_raises(corpus: Path) -> None:
    place = corpus.parent / "nodes.db"
    with confrag.load("map", overrides=overrides(corpus, f"store_conf.kwargs.uri='{place}'")) as app:
        assert app.ask("How hot is the water for green tea?").sources
        with sqlite3.connect(place) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                database.execute(f'DROP TABLE "{table}"')
        with pytest.raises(confrag.StoreError, match=r"nodes\.db"):
            app.ask("How far does the lock at Marsden lift boats?")


def test_sentences_bring_their_chunk(corpus: Path) -> None:
    (corpus / "long.txt").write_text(" ".join(f"Sentence {n} speaks of item {n}." for n in range(200)), "utf-8")
    with confrag.load("multi_route", overrides=overrides(corpus)) as app:
        hits = app.retrieve("How many eggs does a queen bee lay?")
        assert hits[0].file == "bees.txt"
        assert {hit.group for hit in hits} == {"MediumChunk"}
        assert hits[0].route == "chunk+sentence"
        assert hits[0].rerank_score is not None
        ranks = [hit.rerank_score for hit in hits]
        assert ranks == sorted(ranks, reverse=True)
        assert app.corpus.nodes["sentence"] > 200
