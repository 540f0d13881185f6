"""Tokens, the site and the name that a request comes with, headers, limits: against a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import httpx
import pytest

from confrag.config import load
from confrag.errors import ConfigError, UserError
from confrag.schema.serve import ServeSpec
from confrag.serve.rate import RateLimit
from confrag.serve.security import Tokens, check_exposure, is_loopback
from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving

READ, WRITE = "read-token-of-the-tests", "write-token-of-the-tests"
FRIEND = "https://friend.example"
ASKED = {"query": "When does the office open?"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with two tokens, another name, and one site that may call it."""
    place = Workplace(tmp_path_factory.mktemp("guarded"))
    place.write(office="The harbour office opens at nine.")
    with ExitStack() as stack:
        with hashed_registered(), pytest.MonkeyPatch.context() as environment:
            environment.setenv("CONFRAG_READ_TOKEN", READ)
            environment.setenv("CONFRAG_WRITE_TOKEN", f"{WRITE}\n")
            settings = {"hosts": ("rag.example",), "cors_origins": (FRIEND,)}
            running = stack.enter_context(serving(place.load("map"), **settings))
        yield running


def request(served: Served, method: str, path: str, token: str | None = None, **headers: str) -> httpx.Response:
    shown = {"authorization": f"Bearer {token}"} if token else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = ASKED if method in ("POST", "PUT") else None
    return httpx.request(method, served.url + path, json=body, headers={**shown, **named}, timeout=30)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json", "/api/about", "/"])
def test_what_is_open_to_all(guarded: Served, path: str) -> None:
    assert request(guarded, "GET", path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/stats"),
        ("GET", "/api/graph"),
        ("GET", "/metrics"),
        ("POST", "/api/ask"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/nowhere"),
        ("POST", "/upload_files"),
    ],
)
@pytest.mark.parametrize(
    "shown", [None, "Bearer wrong", f"Bearer {READ}x", f"Basic {READ}", READ, "Bearer", "Bearer é"]
)
def test_without_the_right_token(guarded: Served, method: str, path: str, shown: str | None) -> None:
    headers = {"authorization": shown.encode()} if shown else {}
    response = httpx.request(method, guarded.url + path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="confrag"'
    assert response.json()["detail"] == "a token is needed: Authorization: Bearer TOKEN"


@pytest.mark.parametrize("token", [READ, WRITE])
def test_who_may_ask(guarded: Served, token: str) -> None:
    assert "opens at nine" in request(guarded, "POST", "/api/ask", token).json()["answer"]
    assert request(guarded, "GET", "/api/stats", token).status_code == 200
    lower = httpx.get(f"{guarded.url}/api/stats", headers={"Authorization": f"bearer {token}"})
    assert lower.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/upload_files"),
        ("POST", "/delete_files"),
        ("PUT", "/api/qa/1"),
        ("DELETE", "/api/qa/1"),
        ("POST", "/x"),
    ],
)
def test_who_may_change_something(guarded: Served, method: str, path: str) -> None:
    refused = request(guarded, method, path, READ)
    assert refused.status_code == 403
    assert refused.json()["detail"] == "this token may ask, and change nothing; the write token is needed"
    assert request(guarded, method, path, WRITE).status_code not in (401, 403)


@pytest.mark.parametrize(("token", "write"), [(None, False), (READ, False), (WRITE, True)])
def test_what_the_page_is_told(guarded: Served, token: str | None, write: bool) -> None:
    assert request(guarded, "GET", "/api/about", token).json()["ui"] == {"write": write, "auth": True}


def test_only_one_of_the_tokens_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFRAG_READ_TOKEN", raising=False)
    monkeypatch.setenv("CONFRAG_WRITE_TOKEN", WRITE)
    tokens = Tokens.of(ServeSpec())
    assert tokens.needed
    assert tokens.role({b"authorization": f"Bearer {WRITE}".encode()}) == "write"
    assert tokens.role({b"authorization": b"Bearer "}) is None
    assert tokens.role({}) is None
    assert Tokens(READ, None).role({b"authorization": f"Bearer {READ}".encode()}) == "read"
    assert Tokens(None, None).role({}) == "write"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1234", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("192.168.1.7:8000", 200),
        ("rag.example", 200),
        ("evil.example", 421),
        ("rag.example.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example:127.0.0.1", 421),
        ("user@evil.example", 421),
        ("", 421),
    ],
)
def test_the_name_that_a_request_comes_to(guarded: Served, host: str, status: int) -> None:
    response = request(guarded, "GET", "/api/stats", READ, host=host)
    assert response.status_code == status
    if status == 421:
        assert response.json()["detail"] == (
            f"the service is not known as {host!r}; if that is one of its names, add it to serve.hosts"
        )


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://HOST"}, True),
        ({"origin": "https://HOST"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"origin": "http://HOST", "sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"origin": "http://HOST", "sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"origin": FRIEND, "sec_fetch_site": "cross-site"}, True),
    ],
)
def test_the_site_that_a_request_comes_from(guarded: Served, headers: dict[str, str], allowed: bool) -> None:
    host = guarded.url.removeprefix("http://")
    sent = {name: value.replace("HOST", host) for name, value in headers.items()}
    for path in ("/api/ask", "/delete_files"):
        response = request(guarded, "POST", path, WRITE, **sent)
        assert (response.status_code == 403) is not allowed
        if not allowed:
            assert "serve.cors_origins" in response.json()["detail"]
    assert request(guarded, "GET", "/api/stats", WRITE, **sent).status_code == 200


def test_other_sites_are_not_let_in(http: httpx.Client, guarded: Served) -> None:
    preflight = {"origin": FRIEND, "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in http.options("/api/ask", headers=preflight).headers
    allowed = httpx.options(f"{guarded.url}/api/ask", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, FRIEND)
    other = httpx.options(f"{guarded.url}/api/ask", headers={**preflight, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_headers_of_every_response(http: httpx.Client) -> None:
    for path in ("/", "/healthz", "/nowhere", "/api/stats"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"]
        assert "server" not in headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


def test_a_limit_of_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFRAG_READ_TOKEN", "CONFRAG_WRITE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    place = Workplace(tmp_path)
    place.write(office="The harbour office opens at nine.")
    with hashed_registered(), serving(place.load("map"), rate_per_minute=3) as limited:
        codes = [httpx.get(f"{limited.url}/api/stats").status_code for _ in range(3)]
        refused = httpx.get(f"{limited.url}/api/stats")
        assert codes == [200, 200, 200]
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 21
        assert refused.json()["detail"].startswith("too many requests (serve.rate_per_minute); go on in ")
        assert httpx.get(f"{limited.url}/healthz").status_code == 200


def test_the_limit_lets_go_with_time() -> None:
    limit = RateLimit(60)
    assert [limit.take("a", 0.0) for _ in range(61)] == [*[0.0] * 60, 1.0]
    assert limit.take("b", 0.0) == 0.0
    assert limit.take("a", 0.5) == pytest.approx(0.5)
    assert limit.take("a", 1.0) == 0.0
    assert limit.take("a", 1.0) > 0


def test_the_limit_remembers_a_bounded_number_of_callers() -> None:
    limit = RateLimit(1)
    for number in range(12_000):
        assert limit.take(str(number), number / 1000) == 0.0
    assert limit._buckets.execute("SELECT count(*), min(since) FROM buckets").fetchone() == (10_000, 2.0)
    assert limit.take("11999", 12.0) > 0


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_addresses_that_others_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    check_exposure(ServeSpec(host=host), Tokens(None, WRITE))
    with nullcontext() if loopback else pytest.raises(UserError) as caught:
        check_exposure(ServeSpec(host=host), Tokens(None, None))
    if caught:
        assert str(caught.value) == (
            f"serve.host = {host!r}: other machines would reach the service, and it has no token. Make one for those "
            "who may change documents, and one for those who may only ask:\n"
            '  export CONFRAG_WRITE_TOKEN=$(python -c "import secrets; print(secrets.token_urlsafe(32))")\n'
            '  export CONFRAG_READ_TOKEN=$(python -c "import secrets; print(secrets.token_urlsafe(32))")\n'
            "or stay with serve.host=127.0.0.1"
        )


def test_a_request_that_is_no_http(http: httpx.Client, sample: Served) -> None:
    host, port = sample.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"GET /api/stats HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n")
        assert b" 421 " in connection.recv(4096).split(b"\r\n")[0]
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("serve.hosts=[https://docs.example.org]", "must be the name of a host, without 'https://' and path"),
        ("serve.cors_origins=example.org", "must be an origin, without a path: https://example.org"),
        ("serve.cors_origins=[https://example.org/]", "must be an origin, without a path: https://example.org"),
    ],
)
def test_names_and_origins_are_checked(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, [override])
