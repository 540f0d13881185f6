"""`confrag serve` as a process: its start, its address, its end, and several workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.chat import ChatServer, chat_server
from tests.integration.servers import free_ports

FACT = "Buoy seven is painted green."
ASKED = {"query": "What is painted green?"}


@dataclass
class Running:
    """A command that serves.

    Attributes:
        url: without a slash at the end; empty until it was printed.
    """

    process: subprocess.Popen[str]
    errors: Path
    url: str = ""

    @property
    def said(self) -> str:
        """What it wrote to standard error."""
        return self.errors.read_text("utf-8")

    def ready(self) -> Running:
        """Wait for its address."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.said
        announced = json.loads(line)
        assert announced["pid"] == self.process.pid
        self.url = announced["url"]
        return self

    def end(self, number: int, code: int = 0) -> None:
        """Send a signal, and check how it ends: with all that it has started."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        self.ended(below, code)

    def ended(self, below: list[psutil.Process], code: int) -> None:
        """Check how it ends."""
        assert self.process.wait(60) == code, self.said
        _, alive = psutil.wait_procs(below, timeout=30)
        assert not alive
        assert "Traceback" not in self.said


@contextmanager
def command(folder: Path, *overrides: str, **environment: str) -> Iterator[Running]:
    """`confrag serve` over one document, in a folder of its own."""
    docs = folder / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "buoys.txt").write_text(FACT)
    errors = folder / "errors"
    arguments = [
        *(sys.executable, "-m", "confrag", "serve", f"corpus.path={docs}", "llm=extractive", "recall=lexical"),
        *("serve.port=0", "output=json", *overrides),
    ]
    known = {name: value for name, value in os.environ.items() if not name.endswith("_TOKEN")}
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**known, "TMPDIR": str(folder), **environment},
        )
    running = Running(process, errors)
    try:
        yield running
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def refused(folder: Path, *overrides: str, **environment: str) -> tuple[int, str]:
    """Exit code and message of a command that does not serve."""
    with command(folder, *overrides, **environment) as running:
        return running.process.wait(60), running.said


class Gate:
    """A model that answers when a test lets it."""

    def __init__(self) -> None:
        self.asked, self.open = threading.Event(), threading.Event()

    def __call__(self, message: str) -> str:
        self.asked.set()
        self.open.wait(30)
        return "It is buoy seven [1]."


@contextmanager
def slow_model() -> Iterator[tuple[ChatServer, Gate, tuple[str, ...]]]:
    """A model, what lets it answer, and the overrides to use it."""
    gate = Gate()
    with chat_server(gate) as model:
        try:
            yield model, gate, ("llm=openai_compatible", f"models.llm.base_url={model.url}", "models.llm.model=test")
        finally:
            gate.open.set()


class Asking(threading.Thread):
    """A question under way."""

    def __init__(self, url: str, stream: bool) -> None:
        super().__init__()
        self._url, self._asked = url, {**ASKED, "stream": stream}
        self.response: httpx.Response | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.response = httpx.post(f"{self._url}/api/ask", json=self._asked, timeout=30)
        except httpx.HTTPError as error:
            self.error = error


def refuses(url: str) -> bool:
    """Whether nobody listens any more."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        return connection.connect_ex((host, int(port))) != 0


def wait_until(true: Any) -> None:
    for _ in range(6000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def test_running_answers_are_finished(tmp_path: Path) -> None:
    with slow_model() as (model, gate, overrides), command(tmp_path, *overrides) as running:
        running.ready()
        wait_until(lambda: running.said.endswith("Ctrl-C ends it\n"))
        assert httpx.get(f"{running.url}/readyz").json() == {"status": "ready"}
        asking = [Asking(running.url, stream) for stream in (False, True)]
        wait_until(lambda: len(model.asked) == 2)
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(running.url))
        assert running.process.poll() is None
        gate.open.set()
        for question in asking:
            question.join(30)
            assert question.response
            assert question.response.status_code == 200
            assert "It is buoy seven [1]." in question.response.text
        running.ended([], 0)
        assert running.said.endswith("ended\n")


def test_answers_that_take_too_long_are_left_and_a_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    with slow_model() as (_, gate, overrides):
        with command(tmp_path / "a", *overrides, "serve.shutdown_s=0.5") as running:
            asking = Asking(running.ready().url, stream=False)
            assert gate.asked.wait(30)
            running.end(signal.SIGTERM)
            assert "confrag: 1 questions were not finished in time (serve.shutdown_s)" in running.said
            asking.join(30)
            assert asking.response
            assert asking.response.status_code == 503
            assert asking.response.json()["detail"] == "the service was shut down before there was an answer"
        gate.asked.clear()
        with command(tmp_path / "b", *overrides) as running:
            asking = Asking(running.ready().url, stream=True)
            assert gate.asked.wait(30)
            running.process.send_signal(signal.SIGINT)
            wait_until(lambda: refuses(running.url))
            running.end(signal.SIGINT, 130)
            asking.join(30)


def test_it_answers_before_it_is_ready_and_may_be_ended_then(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    embed = ("embed=bge_small_en", "recall=dense", "models.embed.kind=openai_compatible", "models.embed.model=test")
    freed = threading.Event()

    def held(path: str, number: int) -> None:
        freed.wait(60)

    with chat_server(lambda message: "") as model:
        model.fault = held
        served = (*embed, f"models.embed.base_url={model.url}", f"serve.port={port}")
        with command(tmp_path, *served) as running:
            wait_until(lambda: not refuses(url))
            assert httpx.get(f"{url}/healthz", timeout=30).json() == {"status": "ok"}
            for response in (httpx.get(f"{url}/readyz"), httpx.post(f"{url}/api/ask", json=ASKED)):
                assert response.status_code == 503
                assert response.headers["retry-after"] == "2"
                assert response.json()["detail"] == "the service is starting; ask again in a moment"
            threading.Timer(1, freed.set).start()  # its start has to come to an end first
            running.end(signal.SIGTERM)


@contextmanager
def connected_to_both(url: str) -> Iterator[list[httpx.Client]]:
    """A connection to each of two workers, from an address from which nobody else asks."""
    clients: dict[str, httpx.Client] = {}
    with ExitStack() as stack:
        for _ in range(1000):
            transport = httpx.HTTPTransport(local_address="127.0.0.2")
            client = stack.enter_context(httpx.Client(base_url=url, transport=transport))
            answer = client.get("/healthz")  # which is not counted; ids begin with the worker's own letters
            clients.setdefault(answer.headers["x-request-id"].partition("-")[0], client)
            if len(clients) == 2:
                break
        yield list(clients.values())


@pytest.mark.parametrize("store", ["map", pytest.param("chroma", marks=pytest.mark.slow)])
def test_two_workers_over_one_collection(tmp_path: Path, store: str) -> None:
    limit = 120
    with command(tmp_path, f"store_conf={store}", "serve.workers=2", f"serve.rate_per_minute={limit}") as running:
        url = running.ready().url
        children = psutil.Process(running.process.pid).children(recursive=True)
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
        assert running.said.count("1 added") == 1  # the second one found all done

        def ask() -> None:
            for _ in range(10):
                response = httpx.post(f"{url}/api/ask", json=ASKED, timeout=30)
                assert FACT in response.json()["answer"]

        asking = [threading.Thread(target=ask) for _ in range(8)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        name = 'confrag_requests_total{method="POST",route="/api/ask",status="200"} 80.0'
        assert name in httpx.get(f"{url}/metrics").text  # of both, whichever is asked
        begun = time.monotonic()
        with connected_to_both(url) as clients:
            codes = [client.get("/nowhere").status_code for _ in range(limit) for client in clients]
        assert set(codes) == {404, 429}
        assert limit <= codes.count(404) <= limit + (time.monotonic() - begun) * limit / 60 + 1
        if store == "map":
            workers[0].kill()
            wait_until(lambda: f"worker {workers[0].pid} ended (-9); starting another" in running.said)
            for _ in range(20):
                assert FACT in httpx.post(f"{url}/api/ask", json=ASKED, timeout=30).json()["answer"]
            assert re.search(r'route="/api/ask",status="200"} 100.0', httpx.get(f"{url}/metrics").text)
            assert list(tmp_path.glob(f"confrag-metrics-*/*_{workers[1].pid}.db"))
            running.end(signal.SIGTERM)
            assert not list(tmp_path.glob("confrag-metrics-*"))
        else:
            # Nobody is left behind by a supervisor that is killed.
            running.process.kill()
            _, alive = psutil.wait_procs(workers, timeout=30)
            assert not alive


def test_workers_that_cannot_share_a_store(tmp_path: Path) -> None:
    embed = ("embed=bge_small_en", "recall=dense")
    code, said = refused(tmp_path, "store_conf=milvus_flat", "serve.workers=2", *embed)
    assert code == 2
    assert said == (
        "confrag: serve.workers: several workers cannot share this store. Milvus Lite's files belong to one process at "
        "a time; a Milvus server has no such limit. Set serve.workers=1\n"
    )


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "serve=network", CONFRAG_READ_TOKEN="  ")
    assert code == 2
    assert said.startswith(
        "confrag: serve.host = '0.0.0.0': other machines would reach the service, and it has no token"
    )
    assert 'python -c "import secrets; print(secrets.token_urlsafe(32))"' in said


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(tmp_path, f"serve.port={port}")
    assert code == 2
    assert said == (
        f"confrag: serve.host = '127.0.0.1', serve.port = {port}: something listens there already; name another port, "
        "or serve.port=0 for any free one\n"
    )


def test_an_engine_that_does_not_start(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    llm = ("llm=openai_compatible", f"models.llm.base_url=http://127.0.0.1:{port}/v1", "models.llm.model=test")
    code, said = refused(tmp_path, *llm)
    assert code == 4
    assert said.count("confrag: ") == 1
    assert f"http://127.0.0.1:{port}" in said
    assert "Traceback" not in said


def test_it_works_on_one_configuration() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "confrag", "serve", "-m", "conf=map,chroma"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "confrag: serve works on one configuration; -m and Hydra's views belong to 'confrag run'\n"
