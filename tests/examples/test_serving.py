"""The commands of docs/serving.md work against a service, in their order, as a reader would type them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from confrag.cli.arguments import parse
from confrag.config import load
from tests.serve.running import Served, serving

GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"
ADDRESS = "http://127.0.0.1:8000"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
LIGHT = ("llm=extractive", "recall=lexical")
TRIED = {"python", "sh", "yml", "json", "yaml", "nginx", "ini"}


def of(language: str) -> list[str]:
    """The blocks of a language."""
    return [block for name, block in BLOCKS if name == language]


SERVED = [line for block in of("sh") for line in block.splitlines() if line.startswith("confrag ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the reader works."""
    place = tmp_path_factory.mktemp("reader")
    before = Path.cwd()
    os.chdir(place)
    yield place
    os.chdir(before)


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """The service of the guide, with words in the place of models."""
    import confrag

    with serving(confrag.load("quickstart", overrides=LIGHT)) as running:
        yield running


def test_every_block_is_tried() -> None:
    assert {language for language, _ in BLOCKS} == TRIED


def test_the_blocks_in_their_order(served: Served, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is asked and changed by curl and Python, one after the other; the Python blocks share their names."""
    names: dict[str, Any] = {}
    outputs = []
    for language, text in BLOCKS:
        block = text.replace(ADDRESS, served.url).replace(
            'load("quickstart")', f'load("quickstart", overrides={LIGHT})'
        )
        if language == "python":
            exec(compile(block, GUIDE.name, "exec"), names)
        elif language == "sh" and ADDRESS in text:
            _bash(block, folder)
        else:
            continue
        outputs.append(capfd.readouterr().out)
    told = "\n".join(outputs)
    assert '"citations"' in told
    assert "event: answer" in told
    assert "data: [DONE]" in told
    assert "13\n15\nbuoys.txt\n" in told  # the tutorial's script: two more, and an answer from one of them
    assert "{'author': ['Ana', 'Cleo'], 'year': 2024}" in told
    assert "1 Buoy seven is painted green." in told
    left = {document.name for document in served.app.documents.list()}
    assert {"buoys.txt", "faq.md"} <= left  # the second one was taken out and brought back
    assert not {"piers.txt", "lamps.txt"} & left


def _bash(commands: str, folder: Path) -> None:
    checked = commands.replace("curl ", "curl --silent --show-error --fail-with-body ")
    environment = {**os.environ, "CONFRAG_READ_TOKEN": "of-the-tests"}
    subprocess.run(["bash", "-euc", checked], cwd=folder, env=environment, check=True, timeout=60)


@pytest.mark.parametrize("line", SERVED)
def test_a_command_that_serves(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    verb, *arguments = shlex.split(line, comments=True)[1:]
    assert verb == "serve"
    load(None, parse(arguments).overrides)


def test_prometheus(served: Served) -> None:
    (job,) = yaml.safe_load(of("yml")[0])["scrape_configs"]
    (target,) = job["static_configs"]
    assert [f"http://{address}" for address in target["targets"]] == [ADDRESS]
    response = httpx.get(served.url + job["metrics_path"])
    assert response.status_code == 200
    assert "confrag_requests_total" in response.text


def test_a_problem_looks_as_shown(served: Served) -> None:
    shown = json.loads(of("json")[0])
    response = httpx.get(served.url + shown["instance"])
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {**problem, "request_id": ""} == {**shown, "request_id": ""}


def test_the_unit(tmp_path: Path) -> None:
    """The configuration that the unit of systemd starts is the guide's own preset."""
    (command,) = re.findall(r"^ExecStart=\S+/confrag serve (.*)$", of("ini")[0], re.MULTILINE)
    arguments = shlex.split(command)
    own = tmp_path / "conf"
    (own / "conf").mkdir(parents=True)
    (tmp_path / "papers").mkdir()
    (own / "conf" / "team.yaml").write_text(of("yaml")[0])
    known = parse([str(own) if argument == "conf" else argument for argument in arguments])
    composed, config = load(None, [*known.overrides, f"corpus.path={tmp_path / 'papers'}"], known.config_dir)
    assert composed.name == "team"
    assert config.serve.workers == 2


def test_the_proxy_fits_the_limits() -> None:
    """What nginx lets pass and waits for is more than the service does."""
    text = of("nginx")[0]
    (size,) = re.findall(r"client_max_body_size (\d+)m;", text)
    (wait,) = re.findall(r"proxy_read_timeout (\d+)s;", text)
    _, config = load(None, [])
    assert int(size) == 10 * config.serve.max_upload_mb
    assert int(wait) > config.serve.timeout_s
    assert f"proxy_pass http://{config.serve.host}:{config.serve.port};" in text
