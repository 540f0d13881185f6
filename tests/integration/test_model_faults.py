"""Models behind servers that are slow, busy, broken or away: what is repeated, who stands in, what a user is told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import lazyllm
import numpy as np
import pytest
from lazyllm.components.prompter import EmptyPrompter

import confrag
from confrag.build.models.chat import ChatModel
from confrag.build.models.online import build as build_online
from confrag.build.models.openai_compatible import build
from confrag.build.models.resilience import BusyError
from confrag.build.models.served import ServedEmbedder, ServedReranker
from confrag.build.models.talk import Talk
from confrag.registry.sources import SOURCES
from tests.chat import ChatServer, Fault, chat_server
from tests.engine import Workplace, hashed_registered

QUESTION = "When does the office close?"
ANSWER = "It closes at noon on Saturdays [1]."
QUICK = ("models.llm.backoff_s=0.01", "models.llm.retries=2")
BUSY = Fault(503, '{"error": {"message": "overloaded"}}')


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(lambda message: ANSWER) as running:
        yield running


@pytest.fixture
def second() -> Iterator[ChatServer]:
    with chat_server(lambda message: "The second one says: at noon [1].") as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: ChatServer) -> Workplace:
    llm = ("llm=openai_compatible", f"models.llm.base_url={server.url}", "models.llm.model=test", *QUICK)
    place = Workplace(tmp_path, common=llm)
    place.write(office="The harbour office opens at nine. It closes at noon on Saturdays.")
    return place


def patience(fault: Fault) -> float:
    """Seconds to wait for a server: less than it takes, if it is the slow one."""
    return 1.0 if fault.wait_s else 30.0


def first(fault: Fault, times: int = 1) -> Callable[[str, int], Fault | None]:
    """A server that fails for the first requests."""
    return lambda path, number: fault if number <= times else None


def stand_in(second: ChatServer, *more: str) -> tuple[str, ...]:
    model = f"{{role: chat, kind: openai_compatible, base_url: '{second.url}', model: other, retries: 0}}"
    return (f"+models.second={model}", "+models.llm.fallback=[second]", *more)


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        Fault(429),
        Fault(500, "<html>oops"),
        Fault(body="{ not json"),
        Fault(body='{"choices": []}'),
        Fault(hang_up=True),
        Fault(wait_s=2.0),
    ],
    ids=["503", "429", "500", "invalid json", "no choice", "hung up", "slow"],
)
def test_what_passes_is_waited_out(place: Workplace, server: ChatServer, fault: Fault) -> None:
    server.fault = first(fault, 2)
    with place.load("map", f"models.llm.timeout_s={patience(fault)}") as app:
        assert app.ask(QUESTION).text == ANSWER
    assert len(server.posted) == 3


def test_retry_after_is_honoured(server: ChatServer) -> None:
    server.fault = first(Fault(429, headers={"Retry-After": "17"}))
    model = build(role="chat", base_url=server.url, model="test")
    with pytest.raises(BusyError) as caught:
        Talk(model, EmptyPrompter())("Hello", retries=0, temperature=0.0, max_tokens=9)
    assert caught.value.after_s == 17.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_another_refusal_is_final(place: Workplace, server: ChatServer, status: int) -> None:
    server.fault = first(Fault(status), 99)
    with place.load("map") as app, pytest.raises(confrag.ServiceError) as caught:
        app.ask(QUESTION)
    hint = "; check the key" if status in (401, 403) else ""
    assert str(caught.value) == (
        f"the chat model 'test' at {server.url} gave no answer: Provider returned HTTP status {status}.{hint}"
    )
    assert len(server.posted) == 1


def test_a_server_that_stays_busy(place: Workplace, server: ChatServer) -> None:
    server.fault = first(BUSY, 99)
    with place.load("map") as app, pytest.raises(confrag.ServiceError) as caught:
        app.ask(QUESTION)
    assert str(caught.value) == (
        f"the chat model 'test' at {server.url} gave no answer: Provider returned HTTP status 503."
    )
    assert len(server.posted) == 3
    assert caught.value.exit_code == 4


def test_a_stream_that_breaks_off_is_not_begun_again(place: Workplace, server: ChatServer, second: ChatServer) -> None:
    server.fault = first(Fault(pieces=("It closes ", "at ")), 99)
    with place.load("map", *stand_in(second)) as app:
        stream = app.stream(QUESTION)
        pieces: list[str] = []
        with pytest.raises(confrag.ServiceError, match="gave no answer: the answer broke off after it had begun: "):
            pieces.extend(stream)
    assert len(server.posted) == 1
    assert second.posted == []


def test_an_answer_that_breaks_off_unseen_is_asked_for_again(place: Workplace, server: ChatServer) -> None:
    """Of the model it comes as a stream, so that it can be given up; nobody has heard its beginning."""
    server.fault = first(Fault(pieces=("It closes ", "at ")))
    with place.load("map") as app:
        assert app.ask(QUESTION, given_up=Event()).text == ANSWER
    assert len(server.posted) == 2


def test_a_stream_that_fails_before_it_begins_is_repeated(place: Workplace, server: ChatServer) -> None:
    server.fault = first(BUSY)
    with place.load("map") as app:
        assert "".join(app.stream(QUESTION)) == ANSWER
    assert len(server.posted) == 2


@pytest.mark.parametrize("fault", [BUSY, Fault(401), Fault(hang_up=True)], ids=["busy", "key", "hung up"])
def test_another_model_answers_instead(
    place: Workplace, server: ChatServer, second: ChatServer, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    server.fault = first(fault, 99)
    with place.load("map", *stand_in(second)) as app:
        assert app.ask(QUESTION).text.startswith("The second one says")
        assert "".join(app.stream(QUESTION)).startswith("The second one says")
    assert f"asking the chat model 'other' at {second.url}" in caplog.text


def test_nobody_answers(place: Workplace, server: ChatServer, second: ChatServer) -> None:
    server.fault = second.fault = first(BUSY, 99)
    with place.load("map", *stand_in(second)) as app, pytest.raises(confrag.ServiceError) as caught:
        app.ask(QUESTION)
    assert str(caught.value) == (
        f"the chat model 'test' at {server.url} gave no answer: Provider returned HTTP status 503.; "
        f"the chat model 'other' at {second.url} gave no answer: Provider returned HTTP status 503."
    )


def test_with_a_stand_in_an_absent_server_is_no_obstacle(place: Workplace, second: ChatServer) -> None:
    absent = "models.llm.base_url=http://127.0.0.1:9/v1"
    with pytest.raises(confrag.ServiceError, match=r"the chat server at http://127.0.0.1:9/v1 does not answer"):
        place.load("map", absent).start()
    with place.load("map", absent, *stand_in(second)) as app:
        assert app.ask(QUESTION).text.startswith("The second one says")


def test_nothing_is_asked_that_is_not_named(place: Workplace, server: ChatServer, second: ChatServer) -> None:
    server.fault = first(BUSY, 99)
    unnamed = stand_in(second)[:1]
    with place.load("map", *unnamed) as app, pytest.raises(confrag.ServiceError):
        app.ask(QUESTION)
    assert second.posted == []
    assert second.listed == 0


def test_a_model_is_asked_by_so_many_at_once(place: Workplace, server: ChatServer) -> None:
    server.delay_s = 0.2
    with place.load("map", "models.llm.concurrency=2") as app, ThreadPoolExecutor(8) as pool:
        assert {answer.text for answer in pool.map(app.ask, [QUESTION] * 8)} == {ANSWER}
    assert server.most_at_once == 2


def test_one_model_in_two_places_is_loaded_once(place: Workplace, server: ChatServer) -> None:
    steps = "{rewrite: {kind: rewrite}, search: {kind: retrieve, retriever: lexical}}"
    with place.load("map", "recall=lexical", "~recall.steps", f"+recall.steps={steps}") as app:
        assert app.ask(QUESTION).text == ANSWER
    assert len(server.posted) == 2
    assert server.listed == 1


WRITING = (
    "+node_groups.Summary={parent: MediumChunk, transform: {kind: llm_summary, retries: 1}}",
    "recall=lexical",
    "retrievers.lexical.group=Summary",
)


def test_nodes_are_written_by_whoever_answers(place: Workplace, server: ChatServer, second: ChatServer) -> None:
    server.fault = first(BUSY, 99)
    with place.load("map", *WRITING, *stand_in(second)) as app:
        (hit,) = app.retrieve("What does the second one say?")
    assert hit.text == "The second one says: at noon [1]."
    assert len(server.posted) == len(second.posted) == 1


def test_a_plan_and_an_ingest_load_no_stand_in(place: Workplace, server: ChatServer, second: ChatServer) -> None:
    app = place.load("map", *WRITING, *stand_in(second))
    app.plan()
    assert (server.listed, second.listed) == (0, 0)
    app.ingest()
    assert server.posted
    assert second.posted == []


TEXTS = [f"text number {number}" for number in range(10)]


def embedder(server: ChatServer, **more: object) -> ServedEmbedder:
    made = build(role="embed", base_url=server.url, model="test", backoff_s=0.01, **more)  # type: ignore[arg-type]
    assert isinstance(made, ServedEmbedder)
    return made


def test_embeddings_come_in_batches_and_in_order(server: ChatServer) -> None:
    whole = embedder(server).passages(TEXTS)
    assert whole.shape == (10, 16)
    assert [len(request["input"]) for request in server.sent] == [10]
    server.sent.clear()
    parts = embedder(server, batch_texts=4).passages(TEXTS)
    assert sorted(len(request["input"]) for request in server.sent) == [2, 4, 4]
    assert (parts == whole).all()
    assert (parts[3] == embedder(server).query(TEXTS[3])).all()


def test_a_batch_is_bounded_by_its_characters(server: ChatServer) -> None:
    texts = ["a" * 60, "b" * 30, "c" * 30, "d" * 500, "e"]
    embedder(server, batch_chars=100, concurrency=1).passages(texts)
    assert [[text[0] for text in request["input"]] for request in server.sent] == [["a", "b"], ["c"], ["d"], ["e"]]


def test_prefixes_tell_questions_from_passages(server: ChatServer) -> None:
    model = embedder(server, query_prefix="query: ", passage_prefix="passage: ")
    model.passages(["tea"])
    model.query("tea")
    assert [request["input"] for request in server.sent] == [["passage: tea"], ["query: tea"]]


@pytest.mark.parametrize("role", ["embed", "rerank"])
@pytest.mark.parametrize(
    "fault",
    [BUSY, Fault(429, headers={"Retry-After": "0"}), Fault(body="{"), Fault(hang_up=True), Fault(wait_s=2.0)],
    ids=["503", "429", "invalid json", "hung up", "slow"],
)
def test_vectors_and_scores_are_waited_for(server: ChatServer, role: str, fault: Fault) -> None:
    server.fault = first(fault, 2)
    model = build(role=role, base_url=server.url, model="test", backoff_s=0.01, timeout_s=patience(fault), retries=2)  # type: ignore[arg-type]
    if isinstance(model, ServedReranker):
        assert model.scores("big tea", ["small cup", "big tea cup", "tea"]).tolist() == [0.0, 2.0, 1.0]
    else:
        assert model.passages(["tea", "cup"]).shape == (2, 16)
    assert len(server.posted) == 3


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (BUSY, "gave no answer: HTTP 503 overloaded"),
        (Fault(401), "refused the request: HTTP 401 no; check the key"),
        (Fault(400, "too long"), "refused the request: HTTP 400 too long"),
        (Fault(body="{"), "gave no answer: the answer is not JSON: '{'"),
        (Fault(hang_up=True), "gave no answer: Server disconnected without sending a response."),
        (Fault(wait_s=2.0), "gave no answer: it does not answer in time (timeout_s)"),
        (Fault(body='{"data": []}'), "gave an answer that cannot be used: 0 vectors for 1 texts"),
        (
            Fault(body='{"data": [{"embedding": [0, 0]}]}'),
            "gave an answer that cannot be used: a vector that is zero or not finite",
        ),
        (
            Fault(body='{"data": [{"embedding": []}]}'),
            "gave an answer that cannot be used: vectors of different lengths, or empty ones",
        ),
    ],
)
def test_what_is_said_of_an_embedding_server(server: ChatServer, fault: Fault, told: str) -> None:
    server.fault = first(fault, 99)
    with pytest.raises(confrag.ServiceError) as caught:
        embedder(server, retries=1, timeout_s=patience(fault)).query("tea")
    assert str(caught.value) == f"the embedding model 'test' at {server.url} {told}"


def test_scores_of_fewer_texts_than_were_sent(server: ChatServer) -> None:
    server.fault = first(Fault(body='{"results": [{"index": 0, "relevance_score": 1}]}'), 99)
    model = build(role="rerank", base_url=server.url, model="test")
    with pytest.raises(confrag.ServiceError, match="cannot be used: scores of 1 texts, 2 were sent"):
        model.scores("tea", ["a", "b"])


def test_an_engine_on_servers_alone(tmp_path: Path, server: ChatServer) -> None:
    server.key = "sk-of-the-tests"
    place = Workplace(tmp_path)
    place.write(office="The harbour office closes at noon.", boats="Boats float.", cranes="A crane lifts.")
    reranker = (
        f"{{role: rerank, kind: online, source: siliconflow, model: r, base_url: '{server.url}', "
        "api_key_env: OPENAI_API_KEY}"
    )
    settings = (
        "embed=online",
        "llm=online",
        f"+models.embed.base_url={server.url}",
        f"+models.llm.base_url={server.url}",
        f"+models.rerank={reranker}",
        "+recall.steps.rerank={kind: rerank, model: rerank, topk: 2}",
    )
    with place.load("online", *settings) as app:
        answer = app.ask("When does the harbour office close?")
    assert answer.text == ANSWER
    assert answer.sources[0].file == "office.txt"
    assert len(answer.sources) == 2
    assert {path.rpartition("/")[2] for path in server.posted} == {"embeddings", "rerank", "completions"}
    assert set(server.authorizations) == {"Bearer sk-of-the-tests"}


def test_a_provider_with_an_interface_of_its_own(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-a")
    body = '{"output": {"embeddings": [{"embedding": [3, 4]}, {"embedding": [0, 2]}]}}'
    server.fault = first(Fault(body=body), 99)
    model = build_online(role="embed", source="qwen", model="m", api_key_env="A_KEY", base_url=server.url)
    assert np.allclose(model.passages(["a", "b"]), [[0.6, 0.8], [0.0, 1.0]])
    assert server.authorizations == ["Bearer sk-a"]
    assert server.posted[0].endswith("/services/embeddings/text-embedding/text-embedding")


def test_every_source_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-a")
    for role, sources in SOURCES.items():
        known = {name.removesuffix(role) for name in getattr(lazyllm.online, role)}
        assert set(sources) == known
        for source in sources:
            made = build_online(role=role, source=source, model="m", api_key_env="A_KEY")  # type: ignore[arg-type]
            assert isinstance(made, ChatModel | ServedEmbedder | ServedReranker)


def ask(model: ChatModel, sink: Callable[[str], None] | None = None) -> str:
    return Talk(model, EmptyPrompter())("Hello", sink, temperature=0.0, max_tokens=99).text


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("source", [source for source in SOURCES["chat"] if source != "claude"])
def test_a_source_answers_at_last(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, source: str, streamed: bool
) -> None:
    monkeypatch.setenv("A_KEY", "sk-a")
    server.key = "sk-a"
    server.fault = first(BUSY)
    model = build_online(
        role="chat", source=source, model="m", api_key_env="A_KEY", base_url=server.url, backoff_s=0.01
    )
    pieces: list[str] = []
    assert ask(model, pieces.append if streamed else None) == ANSWER
    assert "".join(pieces) == (ANSWER if streamed else "")
    assert len(server.posted) == 2


@pytest.mark.parametrize("fault", [BUSY, Fault(hang_up=True), Fault(wait_s=2.0)], ids=["busy", "hung up", "slow"])
def test_claude_s_own_interface(server: ChatServer, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    monkeypatch.setenv("A_KEY", "sk-a")
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
    body = json.dumps({**message, "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 5}})
    server.fault = lambda path, number: fault if number == 1 else Fault(body=body)
    model = build_online(
        role="chat",
        source="claude",
        model="m",
        api_key_env="A_KEY",
        base_url=server.url,
        backoff_s=0.01,
        timeout_s=patience(fault),
    )
    assert ask(model) == ANSWER
    assert [path.rpartition("/")[2] for path in server.posted] == ["messages", "messages"]


INTERRUPTED = """
import sys
from confrag.build.models.openai_compatible import build
model = build(role="embed", base_url=sys.argv[1], model="test", timeout_s=600.0, batch_texts=1)
model.passages([str(number) for number in range(40)])
"""


def test_an_interrupt_does_not_wait_for_a_server_that_hangs(server: ChatServer) -> None:
    asked, over = Event(), Event()

    def hang(path: str, number: int) -> None:
        asked.set()
        over.wait(60)

    server.fault = hang
    command = [sys.executable, "-c", INTERRUPTED, server.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert asked.wait(60)
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=30)
    over.set()
    assert told.strip().endswith("KeyboardInterrupt")
