"""Requests of every kind at a fixed rate, whose answers are checked: what `serve.py soak` and the tests send."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

__all__ = ["MixedLoad"]

WEIGHTS = {
    "cached": 5,
    "uncached": 3,
    "streamed": 2,
    "retrieved": 2,
    "chat": 1,
    "uploaded": 2,
    "deleted": 1,
    "edited": 1,
    "listed": 3,
}
"""How often there is one of each, of 20 requests."""
QUESTIONS = (
    "Who founded the ferry line?",
    "When was the lighthouse at Alder Point lit for the first time?",
    "How many bicycles can be taken on one sailing?",
)
SLOTS = 20
"""Documents that come, change and go; the number of documents does not grow."""
TIMEOUT_S = 60


class MixedLoad:
    """Asks, uploads, overrides, deletes, edits and lists, without waiting for one to end before the next begins.

    Attributes:
        sent: requests, by what they did.
        errors: one line for each that did not go as it should.
        slowest_s: of the requests.

    Args:
        url: of the service; it declares the metadata `year`.
        rate: requests/s.
        seed: of what is sent.
    """

    def __init__(self, url: str, rate: float, seed: int = 0) -> None:
        self._url = url
        self._rate = rate
        self._random = random.Random(seed)
        self._number = 0
        self._free = [f"notice{number}.txt" for number in range(SLOTS)]
        self._ids: dict[str, str] = {}
        self.sent: Counter[str] = Counter()
        self.errors: list[str] = []
        self.slowest_s = 0.0

    async def run(self, seconds: float) -> None:
        """Send requests for a time, then wait for the last answers and until the documents are in place."""
        running: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_S) as http:
            begun = time.monotonic()
            for number in range(int(seconds * self._rate)):
                await asyncio.sleep(begun + number / self._rate - time.monotonic())
                (kind,) = self._random.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))
                task = asyncio.create_task(self._send(kind, http))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.gather(*running)
            while (await _get(http, "/api/stats"))["ingest"]["state"] != "idle":
                await asyncio.sleep(0.1)

    async def _send(self, kind: str, http: httpx.AsyncClient) -> None:
        self._number += 1
        begun = time.monotonic()
        one: Callable[[httpx.AsyncClient, int], Awaitable[None]] = getattr(self, f"_{kind}")
        try:
            await one(http, self._number)
        except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
            self.errors.append(f"{kind}: {type(error).__name__}: {error}"[:500])
        self.sent[kind] += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)

    async def _cached(self, http: httpx.AsyncClient, number: int) -> None:
        _check(QUESTIONS[number % 3], await _post(http, "/api/ask", query=QUESTIONS[number % 3]))

    async def _uncached(self, http: httpx.AsyncClient, number: int) -> None:
        question = f"Notice {number}: what about lamp {number}?"
        filters = {"year": {">=": 1900}} if number % 2 else None
        _check(question, await _post(http, "/api/ask", query=question, filters=filters))

    async def _streamed(self, http: httpx.AsyncClient, number: int) -> None:
        question = f"In case {number}: who founded the ferry line?"
        response = await http.post("/api/ask", json={"query": question, "stream": True})
        assert response.status_code == 200, response.text
        *_, last = response.text.strip().split("\n\n")
        name, _, data = last.partition("\ndata: ")
        assert name == "event: answer", last
        _check(question, json.loads(data))

    async def _retrieved(self, http: httpx.AsyncClient, number: int) -> None:
        assert (await _post(http, "/api/retrieve", query=f"Lamp {number % 50}", topk=3))["hits"]

    async def _chat(self, http: httpx.AsyncClient, number: int) -> None:
        (model, *_) = (await _get(http, "/v1/models"))["data"]
        messages = [
            {"role": "user", "content": QUESTIONS[0]},
            {"role": "assistant", "content": "Somebody."},
            {"role": "user", "content": f"Are you sure, {number}?"},
        ]
        assert (await _post(http, "/v1/chat/completions", model=model["id"], messages=messages))["choices"]

    async def _uploaded(self, http: httpx.AsyncClient, number: int) -> None:
        if (name := self._take(self._free)) is None:
            return
        text = " ".join(f"Lamp {number} of notice {number + line} burns since {1900 + line}." for line in range(60))
        form = {"override": "true", "metadatas": json.dumps([{"year": 1900 + number % 100}])}
        try:
            response = await http.post("/upload_files", files={"files": (name, text)}, data=form)
            assert response.status_code == 200, response.text
            ((self._ids[name],), _) = response.json()["data"]
        finally:
            self._free.append(name)

    async def _deleted(self, http: httpx.AsyncClient, number: int) -> None:
        if (name := self._take([name for name in self._free if name in self._ids])) is None:
            return
        try:
            await _post(http, "/delete_files", file_ids=[self._ids.pop(name)])
        finally:
            self._free.append(name)

    async def _edited(self, http: httpx.AsyncClient, number: int) -> None:
        if (name := self._take([name for name in self._free if name in self._ids])) is None:
            return
        try:
            await _post(http, "/update_or_create_metadata_keys", doc_ids=[self._ids[name]], kv_pair={"year": number})
        finally:
            self._free.append(name)

    async def _listed(self, http: httpx.AsyncClient, number: int) -> None:
        path = ("/list_files", "/api/documents", "/api/stats")[number % 3]
        assert await _get(http, path)

    def _take(self, names: list[str]) -> str | None:
        """A document that no other request is about; it is given back to `_free`."""
        if not names:
            return None
        name = self._random.choice(names)
        self._free.remove(name)
        return name


def _check(question: str, answer: dict[str, Any]) -> None:
    assert answer["query"] == question, (question, answer["query"])
    assert answer["answer"], answer
    if question in QUESTIONS:
        assert not any(source["file"].startswith("notice") for source in answer["sources"][:1]), answer["sources"]


async def _post(http: httpx.AsyncClient, path: str, **body: Any) -> Any:
    response = await http.post(path, json=body)
    assert response.status_code == 200, f"{path}: {response.status_code}: {response.text}"
    return response.json()


async def _get(http: httpx.AsyncClient, path: str) -> Any:
    response = await http.get(path)
    assert response.status_code == 200, f"{path}: {response.status_code}: {response.text}"
    return response.json()
