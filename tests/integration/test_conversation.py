"""Questions that follow others, prompts of one's own, and what an answer cites: through a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import confrag
from tests.chat import ChatServer, chat_server
from tests.engine import Workplace, hashed_registered

HISTORY = [
    {"role": "user", "content": "When does the harbour office open?"},
    {"role": "assistant", "content": "At nine [1]."},
]
QUESTION = "and at weekends?"
REWRITTEN = "When does the harbour office close on Saturdays?"
STEPS = "{rewrite: {kind: rewrite}, search: {kind: retrieve, retriever: lexical}}"
REWRITING = ("recall=lexical", "~recall.steps", f"+recall.steps={STEPS}")
CITING = "It closes at noon [1], or [7] not【2】 [3, 1]; see `list[9]`."
CLEAN = "It closes at noon [1], or not [1]; see `list[9]`."


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(lambda message: REWRITTEN if message == QUESTION else CITING) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: ChatServer) -> Workplace:
    llm = ("llm=openai_compatible", f"models.llm.base_url={server.url}", "models.llm.model=test")
    place = Workplace(tmp_path, common=(*llm, "recall=lexical"))
    place.write(office="The harbour office opens at nine. It closes at noon on Saturdays.", boats="Boats float.")
    return place


def test_a_question_that_follows_others_is_rewritten_by_them(place: Workplace, server: ChatServer) -> None:
    with place.load("map", *REWRITING) as app:
        answer = app.ask(QUESTION, history=HISTORY)
        assert [hit.file for hit in app.retrieve(QUESTION, history=HISTORY)] == ["office.txt"]
    rewriting, answering, again = (request["messages"] for request in server.requests)
    assert "user: When does the harbour office open?\nassistant: At nine [1]." in rewriting[0]["content"]
    assert rewriting[1]["content"] == QUESTION
    assert again == rewriting
    assert answer.rewritten == REWRITTEN
    assert "Conversation so far:\nuser: When does" in answering[1]["content"]
    assert answering[1]["content"].endswith(f"Question: {QUESTION}")
    assert answer.as_dict()["history"] == HISTORY


def test_a_first_question_knows_of_no_conversation(place: Workplace, server: ChatServer) -> None:
    with place.load("map", *REWRITING) as app:
        answer = app.ask(QUESTION)
    assert "onversation" not in str(server.requests)
    assert "history" not in answer.as_dict()


async def _twins(app: confrag.App) -> list[Any]:
    pieces = [piece async for piece in app.astream(QUESTION, history=HISTORY)]
    asked = await app.aask(QUESTION, history=HISTORY)
    return ["".join(pieces), asked.text, await app.aretrieve(QUESTION, history=HISTORY)]


def test_the_twins_take_a_history_too(place: Workplace, server: ChatServer) -> None:
    import asyncio

    with place.load("map", *REWRITING) as app:
        streamed, asked, hits = asyncio.run(_twins(app))
    assert streamed == asked == CLEAN
    assert [hit.file for hit in hits] == ["office.txt"]
    assert sum("At nine [1]." in str(request) for request in server.requests) == len(server.requests) == 5


def test_a_history_that_is_none(place: Workplace) -> None:
    with (
        place.load("map") as app,
        pytest.raises(confrag.UserError, match=r"^history\[0\]\.role = 'bot': allowed: user"),
    ):
        app.ask("harbour", history=[{"role": "bot", "content": "x"}])


@pytest.mark.parametrize("scope", ["answer", "retrieval"])
def test_another_history_is_another_entry(place: Workplace, server: ChatServer, scope: str) -> None:
    other = [{**HISTORY[0], "content": "When does the bakery open?"}, HISTORY[1]]
    with place.load("map", *REWRITING, "cache=exact", f"cache.scope={scope}") as app:
        cached = [app.ask(QUESTION, history=turns).cached for turns in (HISTORY, other, HISTORY, (), other, ())]
    assert cached == [False, False, True, False, True, True]


def test_citations_are_checked_and_the_rest_is_left(place: Workplace) -> None:
    with place.load("map") as app:
        answer = app.ask("harbour")
        assert len(answer.sources) == 1
        assert (answer.text, answer.citations, answer.dangling) == (CLEAN, (1,), 3)
        document = answer.as_dict()
        assert (document["citations"], document["dangling"]) == ([1], 3)
        stream = app.stream("harbour")
        pieces = list(stream)
    assert len(pieces) > 3
    assert "".join(pieces) == stream.answer.text == CLEAN
    assert stream.answer.dangling == 3


def test_what_is_kept_is_the_checked_text(place: Workplace, server: ChatServer) -> None:
    with place.load("map", "cache=exact", "cache.scope=answer", "cache.backend={kind: disk}") as app:
        first = app.stream("harbour")
        pieces = list(first)
        again, replayed = app.ask("harbour"), app.stream("harbour")
        assert "".join(pieces) == "".join(replayed) == again.text == CLEAN
        assert again.cached
        assert (again.citations, again.dangling) == (first.answer.citations, first.answer.dangling) == ((1,), 3)
    assert len(server.requests) == 1


def test_without_citations_the_answer_is_left_as_it_is(place: Workplace, server: ChatServer) -> None:
    with place.load("map", "prompts.answer.citations=none") as app:
        answer = app.ask("harbour")
    assert (answer.text, answer.citations, answer.dangling) == (CITING, (), 0)
    system, user = (message["content"] for message in server.requests[-1]["messages"])
    assert "[1]" not in system + user


def test_quotations_cite_what_they_quote(tmp_path: Path) -> None:
    place = Workplace(tmp_path, common=("recall=lexical",))
    place.write(office="The harbour office opens at nine.", code="The harbour code is list[7] and [12].")
    with place.load("map") as app:
        answer = app.ask("harbour")
    assert "list[7] and [12]" in answer.text
    assert (answer.citations, answer.dangling) == ((1, 2), 0)


def test_a_prompt_of_ones_own(place: Workplace, server: ChatServer) -> None:
    place.write(trap="The harbour says {{ 7 * 7 }} and {% if x %}.")
    template = "{% for p in passages %}<{{ p.number }} {{ p.file }}> {{ p.text }} {% endfor %}?{{ question }}"
    with place.load("map", f"prompts.answer.user='{template}'", "prompts.answer.system='In {{ language }}.'") as app:
        app.ask("harbour")
    system, user = (message["content"] for message in server.requests[-1]["messages"])
    assert system.strip() == "In en."
    assert "trap.txt> The harbour says {{ 7 * 7 }} and {% if x %}." in user
    assert user.endswith("?harbour")


@pytest.mark.models
def test_a_prompt_that_is_too_long_for_a_local_model_is_made_shorter(tmp_path: Path) -> None:
    place = Workplace(tmp_path, common=("recall=lexical", "llm=smollm2", "models.llm.context=400"))
    words = " ".join(f"harbour{number}" for number in range(40))
    place.write(**{f"part{number}": f"The harbour office, part {number}. {words}" for number in range(6)})
    said = [{"role": "user", "content": f"{words} {number}"} for number in range(4)]
    limits = ("generation.max_tokens=16", "generation.context_tokens=100000")
    with place.load("map", *limits) as app:
        assert len(app.retrieve("harbour office")) == 6
        answer = app.ask("harbour office", history=said)  # the server refuses what is longer than its context
        assert len(answer.sources) == 1
        assert 200 < answer.tokens["prompt"] <= 400 - 16
        assert len(app.ask("harbour office").sources) >= 1
        with pytest.raises(
            confrag.UserError, match=r"^query: with the prompt around it, the question takes [\d,]+ tok"
        ):
            app.ask(f"harbour office {words * 4}")
