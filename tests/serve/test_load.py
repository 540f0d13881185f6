"""Requests of every kind at once: nothing is left behind, and no answer is of a document that was not there."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from docs.benchmarks.mixed_load import MixedLoad
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving

SECONDS = float(os.environ.get("CONFRAG_SERVE_SECONDS", "3"))
RATE = 40
ASKING = 6
"""Clients that ask while a document changes, a third of them in each way."""


def handles() -> list[str]:
    """What this process has open, but for memory and the event loops' own."""
    return sorted(file.path for file in psutil.Process().open_files())


@pytest.mark.slow
def test_a_mixed_load_leaves_nothing_behind(tmp_path: Path) -> None:
    threads, files = set(threading.enumerate()), handles()
    cache = ("cache=exact", "cache.scope=answer", "cache.backend=memory")
    overrides = ("corpus.path=pkg://confrag.sample", "+doc_fields.year=int", *cache)
    with hashed_registered(), serving(Workplace(tmp_path).load("map", *overrides)) as served:
        load = MixedLoad(served.url, RATE)
        asyncio.run(load.run(1))
        opened = handles()
        asyncio.run(load.run(SECONDS))
        assert load.errors == []
        assert sum(load.sent.values()) == RATE * (1 + SECONDS)
        assert handles() == opened
        assert served.service.admission.running == served.service.admission.waiting == 0
        assert {document.status for document in served.app.documents.list()} == {"success"}
    assert handles() == files
    assert set(threading.enumerate()) <= threads


class Changing:
    """A document with a year in it that goes up.

    Attributes:
        oldest: the year of the version that is in place.
        newest: of the one that is being put there.
    """

    def __init__(self, served: Served, year: int) -> None:
        self._served = served
        self.oldest = self.newest = year

    def go_on(self) -> None:
        """The next version; returns when it is in place."""
        self.newest += 1
        text = io.BytesIO(f"The ferry was founded in {self.newest} by Ada Brandt.".encode())
        self._served.app.documents.add(text, "ferry.txt", override=True)
        self.oldest = self.newest


def ask(http: httpx.Client, way: int, number: int) -> tuple[int, int]:
    """The years in the text and in the first source of an answer: one that may be cached, one that is not, a stream."""
    question = "When was the ferry founded?" if way == 0 else f"In case {number}: when was the ferry founded?"
    response = http.post("/api/ask", json={"query": question, "stream": way == 2})
    assert response.status_code == 200, response.text
    answer = json.loads(response.text.strip().rpartition("data: ")[2]) if way == 2 else response.json()
    said, source = (re.findall(r"founded in (\d+)", text) for text in (answer["answer"], answer["sources"][0]["text"]))
    return int(said[0]), int(source[0])


@pytest.mark.parametrize("preset", ["map", "chroma"])
def test_an_answer_is_of_a_version_that_was_there_when_it_was_asked(tmp_path: Path, preset: str) -> None:
    place = Workplace(tmp_path)
    place.write(ferry="The ferry was founded in 1900 by Ada Brandt.", tea="Green tea is brewed at eighty degrees.")
    cache = ("cache=exact", "cache.scope=answer", "cache.backend=memory")
    over = threading.Event()
    with hashed_registered(), serving(place.load(preset, *cache)) as served, ThreadPoolExecutor(ASKING) as clients:
        ferry = Changing(served, 1900)

        def client(way: int) -> set[int]:
            """The years that this one was told."""
            years, number = set(), 0
            with httpx.Client(base_url=served.url, timeout=60) as http:
                while not over.is_set():
                    number += 1
                    oldest = ferry.oldest
                    said, source = ask(http, way, number * ASKING + way)
                    assert oldest <= said == source <= ferry.newest
                    years.add(said)
            return years

        asking = [clients.submit(client, number % 3) for number in range(ASKING)]
        try:
            for _ in range(12):
                ferry.go_on()
        finally:
            over.set()
        for answered in asking:
            assert len(answered.result()) > 3  # it went on while the document changed
        with httpx.Client(base_url=served.url, timeout=60) as http:
            assert {ask(http, way, way) for way in (0, 0, 1, 2)} == {(1912, 1912)}
