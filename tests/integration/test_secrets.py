"""Keys stay where they are: no output, log, file or error holds one, not even one that a server sends back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from confrag.build.models.custom_http import build
from confrag.errors import ServiceError
from tests.chat import ChatServer, Fault, chat_server

KEY = "sk-very-secret-0123456789"


def echo(status: int) -> Fault:
    """A refusal that sends the key back wherever a client may look."""
    told = f"Authorization: Bearer {KEY}"
    return Fault(status, json.dumps({"error": {"message": told, "code": told, "type": told}}), {"X-Echo": told})


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(lambda message: "It closes at noon [1].") as running:
        running.key = KEY
        yield running


@pytest.fixture
def settings(server: ChatServer, harbour: Path, tmp_path: Path) -> list[str]:
    return [
        "conf=online",
        f"corpus.path='{harbour}'",
        f"state_dir='{tmp_path / 'state'}'",
        "models.llm.retries=0",
        "models.embed.retries=0",
        f"models.llm.base_url={server.url}",
        f"models.embed.base_url={server.url}",
        "verbose=true",
        "debug=true",
    ]


def confrag(cwd: Path, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENAI_API_KEY": key, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-m", "confrag", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def assert_hidden(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert KEY not in done.stdout
    assert KEY not in done.stderr
    assert [path for path, content in written(folder) if KEY.encode() in content] == []


QUESTION = "query=When does the office close?"


def test_a_run_that_succeeds(server: ChatServer, settings: list[str], tmp_path: Path) -> None:
    done = confrag(tmp_path, "run", *settings, QUESTION, "output=json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answers"][0]["answer"] == "It closes at noon [1]."
    assert set(server.authorizations) == {f"Bearer {KEY}"}
    assert len(list(written(tmp_path / "state" / "runs"))) >= 3
    assert_hidden(done, tmp_path)


@pytest.mark.parametrize(("of", "status"), [("completions", 401), ("embeddings", 500)])
def test_a_server_that_sends_the_key_back(
    server: ChatServer, settings: list[str], tmp_path: Path, of: str, status: int
) -> None:
    server.fault = lambda path, number: echo(status) if path.endswith(of) else None
    done = confrag(tmp_path, "run", *settings, QUESTION)
    assert done.returncode == 4, done.stderr
    assert f"at {server.url}" in done.stderr
    assert_hidden(done, tmp_path)


@pytest.mark.parametrize(
    "verb",
    [("show",), ("show", "where=true"), ("graph", "format=json"), ("plan",), ("validate",), ("doctor",)],
    ids=" ".join,
)
def test_what_is_shown_of_a_configuration(settings: list[str], tmp_path: Path, verb: tuple[str, ...]) -> None:
    done = confrag(tmp_path, *verb, *settings)
    assert done.returncode in (0, 3), done.stderr
    assert_hidden(done, tmp_path)


@pytest.mark.parametrize(
    "mistake",
    [
        f"+models.llm.api_key={KEY}",
        f"models.llm.base_url=http://me:{KEY}@127.0.0.1:9/v1",
        f"+models.own={{role: chat, kind: custom_http, url: 'http://127.0.0.1:9', body: {{q: '{{prompt}}'}}, "
        f"response: a, headers: {{Authorization: Bearer {KEY}}}}}",
    ],
    ids=["api_key", "address", "header"],
)
def test_a_key_in_the_configuration_is_refused_and_not_repeated(
    settings: list[str], tmp_path: Path, mistake: str
) -> None:
    done = confrag(tmp_path, "run", *settings, mistake, QUESTION)
    assert done.returncode == 2, done.stderr
    assert_hidden(done, tmp_path)


def test_a_template_s_headers(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", KEY)
    model = build(
        role="embed",
        url=f"{server.url}/embeddings",
        headers={"Authorization": "Bearer $OWN_KEY"},
        body={"input": "{texts}"},
        response="data.*.embedding",
    )
    assert model.query("tea").shape == (16,)
    server.fault = lambda path, number: echo(400)
    with pytest.raises(ServiceError) as caught:
        model.query("tea")
    assert str(caught.value).endswith("refused the request: HTTP 400 Authorization: Bearer ***")
