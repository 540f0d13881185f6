"""Many at once: each answer belongs to its question, too many are turned away, and none waits for ever."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from confrag.serve.admission import Admission
from confrag.serve.problems import ProblemError
from tests.chat import ChatServer, Fault, chat_server
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving

CLIENTS = 64
QUESTIONS = int(os.environ.get("CONFRAG_SERVE_QUESTIONS", "256"))


@contextmanager
def asked_model(
    root: Path, answer: Callable[[str], str | Fault | None], *more: str, **settings: Any
) -> Iterator[tuple[Served, ChatServer]]:
    """A service whose answers a test decides.

    Args:
        more: overrides.
        settings: `serve`.
    """
    with chat_server(answer) as model, hashed_registered():
        place = Workplace(root)
        place.write(**{f"fact{number}": f"Buoy {number} carries the number {number}." for number in range(50)})
        overrides = ("llm=openai_compatible", f"models.llm.base_url={model.url}", "models.llm.model=test")
        with serving(place.load("map", *overrides, "models.embed.dim=4096", *more), **settings) as served:
            yield served, model


def test_each_answer_belongs_to_its_question(tmp_path: Path) -> None:
    """The model repeats the number it was asked about, and the passages must be those of the question."""

    def answer(message: str) -> str:
        (*_, case) = re.findall(r"case (\d+) about", message)
        return f"It is {case}."

    async def ask(client: httpx.AsyncClient, case: int) -> None:
        question = f"In case {case} about buoy {case % 50}: what is the number of buoy {case % 50}?"
        stream = case % 4 == 0
        response = await client.post("/api/ask", json={"query": question, "stream": stream})
        assert response.status_code == 200
        if stream:
            assert f'"answer": "It is {case}."' in response.text
            assert f'"query": "In case {case} about ' in response.text
            return
        said = response.json()
        assert (said["query"], said["answer"]) == (question, f"It is {case}.")
        assert said["sources"][0]["file"] == f"fact{case % 50}.txt"
        assert said["request_id"] == response.headers["x-request-id"]

    async def all_of_them(url: str) -> None:
        left = iter(range(QUESTIONS))
        limits = httpx.Limits(max_connections=CLIENTS)

        async def client(session: httpx.AsyncClient) -> None:
            for case in left:
                await ask(session, case)

        async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as session:
            await asyncio.gather(*(client(session) for _ in range(CLIENTS)))

    before = set(threading.enumerate())
    with asked_model(tmp_path, answer, queue=CLIENTS) as (served, model):
        asyncio.run(all_of_them(served.url))
        assert len(model.asked) == QUESTIONS
        assert 1 < model.most_at_once <= served.service.settings.max_concurrency
        assert served.service.admission.running == served.service.admission.waiting == 0
    until(lambda: not [thread for thread in set(threading.enumerate()) - before if "confrag" in thread.name])


class Gate:
    """A model that answers when a test lets it."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, message: str) -> str:
        assert self.open.wait(60)
        return "Here it is."


def until(true: Callable[[], bool]) -> None:
    """Wait for something."""
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_too_many_are_turned_away_and_then_all_is_well(tmp_path: Path) -> None:
    gate = Gate()
    codes: list[int] = []

    def ask(url: str) -> None:
        codes.append(httpx.post(f"{url}/api/ask", json={"query": "What is it?"}, timeout=30).status_code)

    with asked_model(tmp_path, gate, max_concurrency=2, queue=3) as (served, _):
        admission = served.service.admission
        clients = [threading.Thread(target=ask, args=(served.url,)) for _ in range(5)]
        for client in clients:
            client.start()
        until(lambda: (admission.running, admission.waiting) == (2, 3))
        text = httpx.get(f"{served.url}/metrics").text
        assert "confrag_running 2.0" in text
        assert "confrag_queue_length 3.0" in text
        for stream in (False, True):
            refused = httpx.post(f"{served.url}/api/ask", json={"query": "What is it?", "stream": stream})
            assert refused.status_code == 429
            after = int(refused.headers["retry-after"])
            assert 1 <= after <= 60
            assert refused.json()["detail"] == (
                f"2 questions are under way and 3 wait (serve.max_concurrency, serve.queue); ask again in {after} s"
            )
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        gate.open.set()
        for client in clients:
            client.join(30)
        assert codes == [200] * 5
        assert httpx.post(f"{served.url}/api/ask", json={"query": "What is it?"}).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_that_takes_too_long(tmp_path: Path, stream: bool) -> None:
    gate = Gate()
    with asked_model(tmp_path, gate, timeout_s=0.3) as (served, _):
        response = httpx.post(f"{served.url}/api/ask", json={"query": "What is it?", "stream": stream}, timeout=30)
        assert "there was no answer within 0.3 s (serve.timeout_s)" in response.text
        assert response.status_code == 504  # also of a stream, before its first piece
        assert '"status": 504' in response.text
        # Its thread is still at work, and keeps its place until it has ended.
        assert served.service.admission.running == 1
        gate.open.set()
        until(lambda: served.service.admission.running == 0)


def test_waiting_counts_as_time(tmp_path: Path) -> None:
    gate = Gate()
    with asked_model(tmp_path, gate, timeout_s=0.3, max_concurrency=1) as (served, model):
        for _ in range(2):
            assert httpx.post(f"{served.url}/api/ask", json={"query": "What?"}, timeout=30).status_code == 504
        assert served.service.admission.waiting == 0
        gate.open.set()
        until(lambda: served.service.admission.running == 0)
        assert len(model.asked) == 1  # the second one never had its turn


def test_who_stops_listening_stops_the_model(tmp_path: Path) -> None:
    def answer(message: str) -> str:
        return "word " * 20_000

    with asked_model(tmp_path, answer, "generation.max_tokens=100000") as (served, _):
        asked = {"query": "Tell me all.", "stream": True}
        with httpx.stream("POST", f"{served.url}/api/ask", json=asked, timeout=30) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    break
        until(lambda: served.service.admission.running == 0)
        assert served.service.metrics.answered == 0


def test_first_come_first_served() -> None:
    async def scenario() -> None:
        admission = Admission(1, 3)
        order: list[str] = []
        leave = await admission.enter()

        async def wait(name: str) -> None:
            mine = await admission.enter()
            order.append(name)
            mine()

        first, second, third = (asyncio.ensure_future(wait(name)) for name in ("first", "second", "third"))
        await asyncio.sleep(0)
        assert admission.waiting == 3
        with pytest.raises(ProblemError) as caught:
            await admission.enter()
        assert (caught.value.status_code, caught.value.headers) == (429, {"Retry-After": "4"})
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert admission.waiting == 2
        leave()
        await asyncio.gather(first, third)
        assert order == ["first", "third"]
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("gives_up_first", [False, True])
def test_a_place_is_not_lost_with_who_gives_up_as_it_becomes_free(gives_up_first: bool) -> None:
    async def scenario() -> None:
        admission = Admission(1, 1)
        leave = await admission.enter()
        waiting = asyncio.ensure_future(admission.enter())
        await asyncio.sleep(0)
        for step in (waiting.cancel, leave) if gives_up_first else (leave, waiting.cancel):
            step()
        (ended,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)
        assert (admission.running, admission.waiting) == (0, 0)
        await admission.enter()

    asyncio.run(scenario())
