"""Every error is a problem as RFC 9457 has it, and tells no more than it should."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from confrag.errors import NotFoundError, ServiceError, StoreError, UserError
from confrag.serve.problems import ProblemError, problem_of
from tests.serve.running import Served

JSON = {"content-type": "application/json"}


def checked(response: httpx.Response) -> dict[str, Any]:
    """The problem of a response, after a look at what all of them have."""
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == response.status_code
    assert problem["instance"] == response.request.url.path
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"]
    return problem


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "detail"),
    [
        ("GET", "/nowhere", b"", 404, "there is nothing at this address"),
        ("GET", "/api/ask", b"", 405, "this address does not take the method of the request"),
        ("POST", "/api/ask", b"{", 422, "the body is not JSON: Expecting property name enclosed in double quotes"),
        ("POST", "/api/ask", b"", 422, "body: field required"),
        ("POST", "/api/ask", b"{}", 422, "query: field required"),
        ("POST", "/api/ask", b'{"query": ""}', 422, "query: string should have at least 1 character"),
        ("POST", "/api/ask", b'{"query": " "}', 400, "query: the question is empty"),
        ("POST", "/api/ask", b'{"query": "x", "topk": 3}', 422, "topk: extra inputs are not permitted"),
        (
            "POST",
            "/api/retrieve",
            b'{"query": "x", "topk": 0}',
            422,
            "topk: input should be greater than or equal to 1",
        ),
    ],
)
def test_mistakes_of_a_request(
    http: httpx.Client, method: str, path: str, content: bytes, status: int, detail: str
) -> None:
    problem = checked(http.request(method, path, content=content, headers=JSON))
    assert (problem["status"], problem["detail"]) == (status, detail)


def test_a_request_that_does_not_say_that_it_is_json(http: httpx.Client) -> None:
    problem = checked(http.post("/api/ask", data={"query": "x"}))
    assert problem["detail"] == "body: a JSON object is expected, and the header Content-Type: application/json"


def test_all_mistakes_of_a_request(http: httpx.Client) -> None:
    problem = checked(http.post("/api/ask", json={"query": 3, "stream": "perhaps", "filter": {}}))
    assert [entry.partition(":")[0] for entry in problem["errors"]] == ["query", "stream", "filter"]


@pytest.mark.parametrize(
    "content",
    [b'{"query": "\\ud800"}', b'{"query": "x", "filters": {"\\ud800": "\\udfff"}}', b"\xff\xfe", b"[" * 200_000],
)
def test_what_is_no_text(http: httpx.Client, content: bytes) -> None:
    problem = checked(http.post("/api/ask", content=content, headers=JSON))
    assert 400 <= problem["status"] < 500


def test_a_body_that_is_too_large(http: httpx.Client) -> None:
    large = b'{"query": "' + b"x" * (4 * 2**20) + b'"}'
    problem = checked(http.post("/api/ask", content=large, headers=JSON))
    assert (problem["status"], problem["detail"]) == (413, "the body of the request is larger than 4 MB")
    pieces = (large[start : start + 65536] for start in range(0, len(large), 65536))
    assert checked(http.post("/api/ask", content=pieces, headers=JSON))["status"] == 413  # its length is not declared


def test_an_error_that_nobody_has_foreseen(
    http: httpx.Client, sample: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("the password is 'swordfish'")

    monkeypatch.setattr(sample.app, "retrieve", break_down)
    with caplog.at_level(logging.ERROR, "confrag"):
        problem = checked(http.post("/api/retrieve", json={"query": "x"}, headers={"x-request-id": "mine-1"}))
    assert (problem["status"], problem["request_id"]) == (500, "mine-1")
    assert problem["detail"] == "the service failed; its log has more under the request's id"
    (record,) = [record for record in caplog.records if record.name == "confrag"]
    assert "mine-1" in record.getMessage()
    assert "swordfish" in caplog.text


def test_an_error_in_a_stream(http: httpx.Client, sample: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise ServiceError("the model at http://127.0.0.1:1 gave no answer")

    def break_down_later(query: str, filters: object, history: object, sink: Callable[[str], None], *_: object) -> None:
        sink("It is ")
        break_down()

    monkeypatch.setattr(sample.app._questions, "ask", break_down)
    assert checked(http.post("/api/ask", json={"query": "x", "stream": True}))["status"] == 503
    monkeypatch.setattr(sample.app._questions, "ask", break_down_later)
    response = http.post("/api/ask", json={"query": "x", "stream": True})
    assert response.status_code == 200
    assert response.text.startswith('event: piece\ndata: {"text": "It is "}\n\nevent: error\ndata: ')
    assert '"status": 503' in response.text
    assert "the model at http://127.0.0.1:1 gave no answer" in response.text
    assert response.headers["x-request-id"] in response.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("u"), 400),
        (NotFoundError("n"), 404),
        (ServiceError("s"), 503),
        (StoreError("t"), 500),
        (ProblemError(409, "p"), 409),
    ],
)
def test_errors_and_their_status(error: Exception, status: int) -> None:
    problem = problem_of(error)
    assert (problem.status_code, problem.detail) == (status, error.detail if status == 409 else str(error))


def test_an_error_that_a_library_has_wrapped() -> None:
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = ServiceError("Milvus does not answer")
    assert (problem_of(wrapped).status_code, problem_of(wrapped).detail) == (503, "Milvus does not answer")


@pytest.mark.parametrize(
    ("given", "taken"), [("abc-1.2_x:y", True), ("a" * 100, True), ("a" * 101, False), ("a b", False), ("é", False)]
)
def test_the_id_of_a_request(http: httpx.Client, given: str, taken: bool) -> None:
    response = http.get("/healthz", headers={"x-request-id": given.encode()})
    assert (response.headers["x-request-id"] == given) is taken
    assert response.headers["x-request-id"].isascii()
