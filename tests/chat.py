"""A server with the interface of OpenAI (chat, embeddings, rerank) whose answers, and faults, a test decides."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Fault:
    """Something else than an answer: an HTTP status, or a body as it is (with 200).

    Attributes:
        headers: of the answer.
        wait_s: before it is sent.
        hang_up: close the connection instead.
        pieces: of a stream that are sent before the connection is closed.
    """

    status: int = 200
    body: str = '{"error": {"message": "no"}}'
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    hang_up: bool = False
    pieces: tuple[str, ...] = ()


Answer = Callable[[str], "str | Fault | None"]
"""From a message to the text of the answer, or to a fault; None hangs up."""


@dataclass
class ChatServer:
    """A running server.

    Attributes:
        answer: may be replaced at any time.
        asked: every message that came, in order.
        requests: the same, whole.
        delay_s: before each answer.
        most_at_once: requests that were under way at the same time.
        listed: how often it was asked for its models, as each client does that is loaded.
        key: what clients must show; None: nothing. A wrong one is refused, and sent back in the message.
        fault: from the path and the number of a request, counted from 1, to what is sent instead of an answer.
        posted: the paths of the requests, in order.
        sent: the requests that were no chat.
        authorizations: what clients showed.
        usage: the tokens that each answer is said to have taken; None: nothing is said.
    """

    url: str
    answer: Answer
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    listed: int = 0
    key: str | None = None
    fault: Callable[[str, int], Fault | None] = lambda path, number: None
    posted: list[str] = field(default_factory=list)
    sent: list[Mapping[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    usage: Mapping[str, int] | None = None
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refusal(self, path: str, authorization: str | None) -> Fault | None:
        """Note that something was posted, and find out whether it is to be answered."""
        with self._lock:
            self.posted.append(path)
            self.authorizations.append(authorization)
            number = len(self.posted)
        if self.key and authorization != f"Bearer {self.key}":
            return Fault(401, json.dumps({"error": {"message": f"wrong key: {authorization}"}}))
        return self.fault(path, number)

    def other(self, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Vectors or scores. The scores say how many words a document shares with the question."""
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.sent.append(request)
        time.sleep(self.delay_s)
        with self._lock:
            self._now -= 1
        if path.endswith("/embeddings"):
            rows = [{"index": n, "embedding": vector(text)} for n, text in enumerate(request["input"])]
            return {"object": "list", "data": rows[::-1]}
        words = set(request["query"].lower().split())
        shared = [len(words & set(text.lower().split())) for text in request["documents"]]
        ranked = sorted(enumerate(shared), key=lambda pair: -pair[1])
        return {"results": [{"index": n, "relevance_score": float(score)} for n, score in ranked]}

    def take(self, request: Mapping[str, Any]) -> str | Fault | None:
        """Note a request, and answer it."""
        message = str(request["messages"][-1]["content"])
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.asked.append(message)
            self.requests.append(request)
        try:
            time.sleep(self.delay_s)
            return self.answer(message)
        finally:
            with self._lock:
                self._now -= 1


def vector(text: str) -> list[float]:
    """A vector of 16 numbers by the words of a text: one for each word, at a place that its digest gives."""
    numbers = [0.1] * 16
    for word in re.findall(r"\w+", text.lower()):
        numbers[hashlib.sha256(word.encode()).digest()[0] % 16] += 1.0
    return numbers


@contextmanager
def chat_server(answer: Answer) -> Iterator[ChatServer]:
    """Serve at a free port of the loopback interface for as long as this lasts."""

    def counted() -> dict[str, Any]:
        return {"usage": running.usage} if running.usage else {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            running.listed += 1
            self._send(200, json.dumps({"data": [{"id": "test"}, {"id": "other"}]}))

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made: Any = running.refusal(self.path, self.headers.get("Authorization"))
            if made is None and not self.path.endswith("/chat/completions"):
                self._send(200, json.dumps(running.other(self.path, request)))
                return
            made = made or running.take(request)
            if isinstance(made, Fault):
                time.sleep(made.wait_s)
            if made is None or (isinstance(made, Fault) and made.hang_up):
                self.close_connection = True
            elif isinstance(made, Fault) and made.pieces:
                self._stream(made.pieces, whole=False)
            elif isinstance(made, Fault):
                self._send(made.status, made.body, made.headers)
            elif request.get("stream") and len(made.split()) <= request.get("max_tokens", 1_000_000):
                self._stream(re.split(r"(?<=\s)", made), whole=True)
            else:
                choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": made}}
                if len(made.split()) > request.get("max_tokens", 1_000_000):
                    choice["finish_reason"] = "length"
                    choice["message"]["content"] = " ".join(re.split(r"(?<=\s)", made)[: request["max_tokens"]])
                answer = {"id": "1", "object": "chat.completion", "choices": [choice], **counted()}
                self._send(200, json.dumps(answer))

        def _stream(self, pieces: Sequence[str], whole: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self._event({"index": 0, "delta": {"role": "assistant"}, "finish_reason": None})
            for piece in pieces:
                self._event({"index": 0, "delta": {"content": piece}, "finish_reason": None})
            if whole:
                self._event({"index": 0, "delta": {}, "finish_reason": "stop"}, **counted())
                self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _event(self, choice: Mapping[str, Any], **more: Any) -> None:
            event = {"id": "1", "object": "chat.completion.chunk", "choices": [choice], **more}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()

        def _send(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> None:
            raw = body.encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *request: Any) -> None:
            if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that goes away is part of the tests
                super().handle_error(*request)

    server = Server((HOST, 0), Handler)
    server.daemon_threads = True
    running = ChatServer(f"http://{HOST}:{server.server_port}/v1", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
