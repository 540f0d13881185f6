"""Cached answers that are sent without the way through the graph: the same ones, counted, and never a stale one."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from confrag.build.cache.policy import AnswerCache, Looked
from confrag.serve import at_hand
from confrag.serve.metrics import Metrics
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = Workplace(tmp_path_factory.mktemp("at_hand"))
    place.write(ferry="The ferry was founded in 1871 by Ada Brandt.")
    cache = ("cache=exact", "cache.scope=answer", "cache.backend=memory")
    with hashed_registered(), serving(place.load("map", *cache, "+doc_fields.year=int")) as running:
        yield running


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


def ask(http: httpx.Client, query: str = "When was the ferry founded?", **more: object) -> dict[str, object]:
    response = http.post("/api/ask", json={"query": query, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


OWN = ("timings_ms", "request_id", "spans", "cached")


def same(*answers: dict[str, object]) -> bool:
    first, *others = ({key: value for key, value in answer.items() if key not in OWN} for answer in answers)
    return all(other == first for other in others)


def test_the_same_answer_each_time_with_an_id_of_its_own(http: httpx.Client, served: Served) -> None:
    answers = [ask(http) for _ in range(5)]
    assert [answer["cached"] for answer in answers] == [False, True, True, True, True]
    assert same(*answers)
    assert len({answer["request_id"] for answer in answers}) == 5
    assert all(answer["timings_ms"]["total"] > 0 for answer in answers)
    stats = http.get("/api/stats").json()
    assert (stats["cache"]["hits"], stats["cache"]["misses"]) == (4, 1)
    assert stats["requests"]["answered"] == 5
    metrics = http.get("/metrics").text
    assert 'confrag_cache_total{result="hit"} 4.0' in metrics
    assert 'confrag_requests_total{method="POST",route="/api/ask",status="200"} 5.0' in metrics
    assert 'confrag_stage_seconds_count{stage="total"} 5.0' in metrics


def test_openai_clients_have_it_at_hand_too(http: httpx.Client, served: Served) -> None:
    def complete(question: str) -> dict[str, Any]:
        response = http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": question}]})
        assert response.status_code == 200, response.text
        return dict(response.json())

    question = "When was the ferry founded?"
    answers = [complete(question) for _ in range(5)]
    assert [answer["confrag"].pop("cached") for answer in answers] == [False, True, True, True, True]
    assert len({answer.pop("id") for answer in answers}) == 5
    assert all(answer.pop("created") for answer in answers)
    assert all(answer["confrag"].pop("timings_ms")["total"] > 0 for answer in answers)
    assert all(answer == answers[0] for answer in answers)
    assert "1871" in answers[0]["choices"][0]["message"]["content"]
    assert served.service.metrics.answered == 5
    assert 'route="/v1/chat/completions",status="200"} 5.0' in http.get("/metrics").text
    assert ask(http)["cached"] is True  # the same entry, another form


def test_another_question_filter_or_history_is_another_request(http: httpx.Client) -> None:
    for _ in range(3):
        assert "1871" in str(ask(http)["answer"])
        assert ask(http, filters={"year": 1999})["sources"] == []
        assert ask(http, history=[{"role": "user", "content": "Hello"}])["history"]
        assert ask(http, "WHEN was the  ferry founded?")["query"] == "WHEN was the  ferry founded?"
    refused = http.post("/api/ask", json={"query": " "})
    assert (refused.status_code, refused.json()["detail"]) == (400, "query: the question is empty")


def test_a_changed_document_is_seen_at_once(http: httpx.Client, served: Served) -> None:
    for year in range(1900, 1910):
        text = io.BytesIO(f"The ferry was founded in {year}.".encode())
        served.app.documents.add(text, "ferry.txt", override=True)
        answers = [ask(http) for _ in range(4)]
        assert [answer["cached"] for answer in answers] == [False, True, True, True]
        assert all(str(year) in str(answer["answer"]) for answer in answers)


def test_what_is_cleared_is_gone(http: httpx.Client, served: Served) -> None:
    ask(http), ask(http), ask(http)
    assert served.app.cache is not None
    served.app.cache.clear()
    assert ask(http)["cached"] is False


def test_a_stream_of_what_is_at_hand_is_one_piece(http: httpx.Client, served: Served) -> None:
    known = ask(http)
    for asked in range(2, 5):
        stream = http.post("/api/ask", json={"query": "When was the ferry founded?", "stream": True}).text
        piece, answer = (json.loads(event.partition("data: ")[2]) for event in stream.strip().split("\n\n"))
        assert piece["text"] == answer["answer"] == known["answer"]
        assert answer["cached"] is True
        assert same(answer, known)
        assert served.service.metrics.answered == asked
    assert served.app.cache is not None
    assert served.app.cache.statistics()["hits"] == 3


def test_large_questions_come_by_the_usual_way(http: httpx.Client) -> None:
    assert [ask(http, "ferry " * 5000)["cached"] for _ in range(3)] == [False, True, True]


def test_only_so_much_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers of 100 characters fit into 300; the third takes the place of the first."""
    monkeypatch.setattr(at_hand, "_MOST_BYTES", 300)
    reached: list[bytes] = []

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append((await receive())["body"])
        answer = {"answer": "x" * 100, "timings_ms": {"total": 1.0}}
        remembered = scope["state"]["remember"]
        remembered(Looked("?", {}), answer, lambda ms, request_id: f'{ms}}}, "id": "{request_id}"}}', None)

    class Current:
        def still(self, looked: Looked) -> bool:
            return True

    front = at_hand.AtHand(behind, Metrics(lambda: None), lambda: cast("AnswerCache", Current()))

    def sent(body: bytes) -> list[Message]:
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            messages.append(message)

        scope = {"type": "http", "path": "/api/ask", "method": "POST", "state": {"request_id": "one"}}
        asyncio.run(front(scope, receive, send))
        return messages

    for body in (b"a", b"b", b"b", b"c", b"c", b"b", b"a"):
        messages = sent(body)
    assert reached == [b"a", b"b", b"c", b"a"]
    assert messages == []
    (start, content) = sent(b"a")
    assert start["headers"][1] == (b"content-length", str(len(content["body"])).encode())
    answer = json.loads(content["body"])
    assert answer == {"answer": "x" * 100, "timings_ms": {"total": answer["timings_ms"]["total"]}, "id": "one"}
