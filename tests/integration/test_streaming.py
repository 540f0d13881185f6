"""Answers that are shown while they are written, and what happens when nobody listens any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import confrag
from confrag.runtime.stream import Stream
from tests.chat import ChatServer, chat_server
from tests.engine import Workplace, hashed_registered

PIECES = 2000
PAUSE_S = 0.02


class Endless:
    """A chat server that writes for a long time, and notices when its client goes.

    Attributes:
        began: the first piece is out.
        left: a client has closed its connection.
        written: pieces so far.
    """

    def __init__(self) -> None:
        self.url = ""
        self.began = threading.Event()
        self.left = threading.Event()
        self.over = threading.Event()
        self.written = 0


@contextmanager
def endless() -> Iterator[Endless]:
    running = Endless()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._begin("application/json")
            self.wfile.write(json.dumps({"data": [{"id": "test"}]}).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._begin("text/event-stream")
            try:
                for number in range(PIECES):
                    choice = {"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}
                    event = {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}
                    self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                    self.wfile.flush()
                    running.written += 1
                    running.began.set()
                    if running.over.wait(PAUSE_S):
                        return
            except OSError:
                running.left.set()

        def _begin(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def server() -> Iterator[Endless]:
    with endless() as running:
        yield running


def llm(server: Endless | ChatServer) -> tuple[str, ...]:
    return (
        "recall=lexical",
        "llm=openai_compatible",
        f"models.llm.base_url={server.url}",
        "models.llm.model=test",
        "generation.max_tokens=4096",
    )


@pytest.fixture
def place(tmp_path: Path, server: Endless) -> Workplace:
    place = Workplace(tmp_path, common=llm(server))
    place.write(office="The harbour office opens at nine.")
    return place


def close(stream: Stream) -> None:
    assert next(stream) == "word0"
    with pytest.raises(confrag.UserError, match=r"^the answer is complete only when its stream has ended$"):
        _ = stream.answer
    stream.close()
    assert list(stream) == []


def break_off(stream: Stream) -> None:
    for piece in stream:
        assert piece == "word0"
        break


@pytest.mark.parametrize("leave", [close, break_off])
def test_who_stops_listening_stops_the_model(
    place: Workplace, server: Endless, leave: Callable[[Stream], None]
) -> None:
    with place.load("map") as app:
        leave(app.stream("harbour"))
        assert server.left.wait(30)
    assert server.written < PIECES


@pytest.mark.parametrize("writing", [False, True])
def test_a_whole_answer_that_nobody_wants_any_more(place: Workplace, server: Endless, writing: bool) -> None:
    given_up = threading.Event()
    giving_up = threading.Thread(target=lambda: (server.began.wait(30), given_up.set()))
    if writing:
        giving_up.start()
    else:
        given_up.set()
    with place.load("map") as app, pytest.raises(InterruptedError, match="the question was given up"):
        app.ask("harbour", given_up=given_up)
    assert server.left.wait(30) if writing else server.written == 0
    assert server.written < PIECES


async def _listen_once(app: confrag.App) -> None:
    pieces = app.astream("harbour")
    assert await anext(pieces) == "word0"
    await pieces.aclose()


def test_the_async_twin_stops_it_too(place: Workplace, server: Endless) -> None:
    import asyncio

    with place.load("map") as app:
        asyncio.run(_listen_once(app))
        assert server.left.wait(30)


def test_the_time_to_the_first_piece(tmp_path: Path) -> None:
    place = Workplace(tmp_path, common=("recall=lexical",))
    place.write(office="The harbour office opens at nine.")
    with place.load("map") as app:
        stream = app.stream("harbour")
        assert "".join(stream) == stream.answer.text
        timings = stream.answer.timings_ms
        assert 0 < timings["first_token"] <= timings["total"]
        assert "first_token" not in app.ask("harbour").timings_ms


def command(server: Endless | ChatServer, tmp_path: Path, *more: str) -> list[str]:
    docs = tmp_path / "harbour"
    docs.mkdir()
    (docs / "office.txt").write_text("The harbour office opens at nine.", "utf-8")
    return [
        *(sys.executable, "-m", "confrag", "run", "conf=map", *llm(server)),
        *(f"corpus.path='{docs}'", f"state_dir='{tmp_path / 'state'}'", "query=harbour", *more),
    ]


def test_ctrl_c_stops_the_model(server: Endless, tmp_path: Path) -> None:
    run = subprocess.Popen(command(server, tmp_path, "stream=true"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert run.stdout is not None
        assert os.read(run.stdout.fileno(), 5) == b"word0"  # while it is written, and without a terminal
        run.send_signal(signal.SIGINT)
        assert server.left.wait(30)
        _, errors = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, errors.decode()
    assert server.written < PIECES


@pytest.mark.parametrize(("more", "streamed"), [((), False), (("stream=true",), True), (("stream=false",), False)])
def test_json_says_when_the_first_piece_came(tmp_path: Path, more: tuple[str, ...], streamed: bool) -> None:
    with chat_server(lambda message: "It opens at nine [1] or ten [2].") as server:
        done = subprocess.run(
            command(server, tmp_path, "output=json", *more), capture_output=True, check=True, timeout=120
        )
    (answer,) = json.loads(done.stdout)["answers"]
    assert answer["answer"] == "It opens at nine [1] or ten."
    assert (answer["citations"], answer["dangling"]) == ([1], 1)
    assert ("first_token" in answer["timings_ms"]) is streamed
    assert bool(server.requests[0].get("stream")) is streamed
