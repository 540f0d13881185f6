"""Questions that a model rewrites, and the tutorial's last graph: pairs, passages and words at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import confrag
from tests.chat import ChatServer, Fault, chat_server
from tests.engine import Workplace, hashed_registered

QUESTION = "and at weekends?"
REWRITTEN = "When does the harbour office close on Saturdays?"
PAIRS = "Q: Who opens the harbour?\nA: The harbour master, with a brass key."


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


def reply(message: str) -> str | Fault:
    """Rewrites the question, answers what comes with passages, and makes pairs of the rest."""
    if message == QUESTION:
        return f"  {REWRITTEN}\n"
    return "It closes at noon [1]." if "Passages:" in message else PAIRS


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(reply) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: ChatServer) -> Workplace:
    llm = ("llm=openai_compatible", f"models.llm.base_url={server.url}", "models.llm.model=test")
    place = Workplace(tmp_path, common=llm)
    place.write(office="The harbour office opens at nine. It closes at noon on Saturdays.", boats="Boats float.")
    return place


STEPS = "{rewrite: {kind: rewrite}, search: {kind: retrieve, retriever: lexical}}"
REWRITING = ("recall=lexical", "~recall.steps", f"+recall.steps={STEPS}")


def test_the_rewritten_question_is_searched_by_and_the_asked_one_answered(place: Workplace, server: ChatServer) -> None:
    with place.load("map", *REWRITING) as app:
        assert [hit.file for hit in app.retrieve(QUESTION)] == ["office.txt"]
        answer = app.ask(QUESTION)
    assert answer.text == "It closes at noon [1]."
    assert answer.query == QUESTION
    assert answer.rewritten == REWRITTEN
    assert answer.as_dict()["rewritten"] == REWRITTEN
    assert answer.timings_ms["rewrite"] > 0
    assert QUESTION in server.asked[-1]
    system = server.requests[0]["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("You improve questions for a search engine.")
    assert "search engine" not in server.requests[-1]["messages"][0]["content"]  # one model, two prompts


def test_a_rewriter_that_says_nothing(place: Workplace, server: ChatServer) -> None:
    server.answer = lambda message: " \n" if message == "office" else "It is there."
    with place.load("map", *REWRITING) as app:
        assert app.ask("office").rewritten == "office"


def test_a_rewriter_that_fails(place: Workplace, server: ChatServer) -> None:
    server.answer = lambda message: Fault(400)
    with (
        place.load("map", *REWRITING) as app,
        pytest.raises(confrag.ServiceError, match=r"the chat model 'test' at .* gave no answer"),
    ):
        app.retrieve("office")


@pytest.mark.models
def test_the_tutorials_last_graph(place: Workplace, server: ChatServer) -> None:
    with place.load("qa_rewrite") as app:
        answer = app.ask(QUESTION)
    assert answer.rewritten == REWRITTEN
    assert any({"block", "coarse"} & set(source.route.split("+")) for source in answer.sources)
    assert all((source.rerank_score is None) == (source.route == "qa") for source in answer.sources)
    pair = next(source for source in answer.sources if source.route == "qa")
    assert "brass key" in pair.text
    assert "brass key" in server.asked[-1]  # the answer of a pair travels to the model
