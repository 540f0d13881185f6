"""Models by a template of the request and a path into the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lazyllm.components import ChatPrompter

from confrag.build.models.custom_http import build, fill, find, resolved
from confrag.build.models.resilience import BusyError
from confrag.build.models.talk import FailedError, Talk
from confrag.errors import ServiceError, UserError

Answering = Callable[[Any], "tuple[int, Any]"]


@contextmanager
def serving(answer: Answering) -> Iterator[tuple[str, list[Any]]]:
    """A server that takes any JSON, and what it was sent."""
    sent: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sent.append({"path": self.path, "headers": dict(self.headers), "body": request})
            status, made = answer(request)
            raw = json.dumps(made).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ask", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def say(model: Any, message: str, sink: Callable[[str], None] | None = None) -> str:
    prompt = {"instructions": "Be brief.", "input": message}
    return Talk(model, ChatPrompter("{instructions}"))(prompt, sink, temperature=0.5, max_tokens=40).text


def test_a_value_alone_keeps_its_type_and_other_braces_stay() -> None:
    values = {"texts": ["a", "b"], "max_tokens": 7}
    template = {
        "in": "{texts}",
        "n": "{max_tokens}",
        "say": "at most {max_tokens}, {other} {}",
        "deep": [{"k": 1.5}, None],
    }
    assert fill(template, values) == {
        "in": ["a", "b"],
        "n": 7,
        "say": "at most 7, {other} {}",
        "deep": [{"k": 1.5}, None],
    }


@given(st.text())
def test_no_question_changes_what_is_asked_for(text: str) -> None:
    filled = fill({"q": "Question: {text}", "same": "{text}", "safe": True}, {"text": text})
    assert filled == {"q": f"Question: {text}", "same": text, "safe": True}
    assert json.loads(json.dumps(filled)) == filled


ANSWER = {"data": [{"v": [1, 2]}, {"v": [3, 4]}], "7": "seven"}


@pytest.mark.parametrize(
    ("path", "found"),
    [("data.1.v", [3, 4]), ("data.*.v", [[1, 2], [3, 4]]), ("7", "seven"), ("data.*", ANSWER["data"])],
)
def test_a_path(path: str, found: object) -> None:
    assert find(ANSWER, path) == found


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("datum", "there is no 'datum' at the answer, which holds the keys data, 7"),
        ("data.2.v", "there is no '2' at data, which holds a list"),
        ("data.0.v.x", "there is no 'x' at data.0.v, which holds a list"),
        ("data.*.w", "there is no 'w' at the answer, which holds the keys v"),
        ("7.*", "there is no '*' at 7, which holds a str"),
    ],
)
def test_a_path_that_leads_nowhere(path: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        find(ANSWER, path)
    assert str(caught.value) == told


def test_headers_take_values_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    monkeypatch.delenv("TWO", raising=False)
    assert resolved({"X": "a $ONE b", "Y": "plain"}) == ({"X": "a 1 b", "Y": "plain"}, ["1"])
    with pytest.raises(UserError, match="the environment variable TWO is not set; a header of the request names it"):
        resolved({"X": "$TWO"})


def test_embeddings_of_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "secret")
    with serving(lambda request: (200, {"out": {"vectors": [[len(t), 0] for t in request["inputs"]]}})) as (url, sent):
        model = build(
            role="embed",
            url=url,
            headers={"X-Key": "$OWN_KEY"},
            body={"inputs": "{texts}", "options": {"normalize": False}},
            response="out.vectors",
            batch_texts=2,
            concurrency=1,
        )
        assert model.passages(["a", "bb", "ccc"]).tolist() == [[1.0, 0.0]] * 3
        model.close()
    assert [request["body"]["inputs"] for request in sent] == [["a", "bb"], ["ccc"]]
    assert sent[0]["body"]["options"] == {"normalize": False}
    assert sent[0]["headers"]["X-Key"] == "secret"


def test_embeddings_of_one_text_a_request() -> None:
    with serving(lambda request: (200, {"embedding": [3, 4]})) as (url, sent):
        model = build(role="embed", url=url, body={"text": "{text}"}, response="embedding", query_prefix="? ")
        assert np.allclose(model.passages(["a", "b"]), [[0.6, 0.8]] * 2)
        model.query("c")
    assert sorted(request["body"]["text"] for request in sent) == ["? c", "a", "b"]


def test_chat() -> None:
    with serving(lambda request: (200, {"reply": [{"text": " Hello. "}]})) as (url, sent):
        body = {"chat": "{messages}", "flat": "{prompt}", "limit": "{max_tokens}", "t": "{temperature}"}
        model = build(role="chat", url=url, body=body, response="reply.0.text")
        pieces: list[str] = []
        assert say(model, 'Hi "{there}"', pieces.append) == "Hello."
        assert "".join(pieces).strip() == "Hello."
    (request,) = (entry["body"] for entry in sent)
    assert [part["role"] for part in request["chat"]] == ["system", "user"]
    assert request["chat"][-1]["content"] == 'Hi "{there}"'
    assert request["flat"].endswith('Hi "{there}"')
    assert "Be brief." in request["flat"]
    assert (request["limit"], request["t"]) == (40, 0.5)


def test_chat_that_is_busy_then_answers() -> None:
    answers = iter([(503, {}), (429, {}), (200, {"reply": "Hello."})])
    with serving(lambda request: next(answers)) as (url, sent):
        model = build(role="chat", url=url, body={"q": "{prompt}"}, response="reply", backoff_s=0.01)
        assert say(model, "Hi") == "Hello."
    assert len(sent) == 3


@pytest.mark.parametrize(
    ("status", "answer", "error", "told"),
    [
        (503, {"error": "full"}, BusyError, "HTTP 503 full"),
        (403, {"error": "no"}, ServiceError, "refused the request: HTTP 403 no; check the key"),
        (200, {"other": 1}, FailedError, "there is no 'reply' at the answer, which holds the keys other"),
        (200, {"reply": ["x"]}, FailedError, "'reply' leads to no text in the answer"),
    ],
)
def test_chat_without_an_answer(status: int, answer: object, error: type[Exception], told: str) -> None:
    with serving(lambda request: (status, answer)) as (url, _):
        model = build(role="chat", url=url, body={"q": "{prompt}"}, response="reply", backoff_s=0.01, retries=1)
        with pytest.raises(error) as caught:
            say(model, "Hi")
    assert str(caught.value).endswith(told)
