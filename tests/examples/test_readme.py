"""The commands of the READMEs work, and the facts that they state hold."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import confrag
from confrag.cli import main
from confrag.config import load
from confrag.config.sources import options
from confrag.registry.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
STARTER = ROOT / "examples" / "starter"
OWN = ROOT / "examples" / "own_configuration"

NOT_RUN = ("make ", "pip install ", "python ", "echo ", "confrag eval --config-dir . -m conf=handbook recall=")
"""Beginnings of commands that other tests run (`python`: test_examples.py, `eval`: test_starter.py), or that install
things."""


def blocks(file: Path, language: str) -> list[str]:
    """The fenced blocks of a language, with continued lines joined."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block.replace("\\\n", " ") for block in found]


def commands(file: Path) -> list[list[str]]:
    """For each block of shell commands with something to run, these commands."""
    lines = [[line for line in block.splitlines() if not line.startswith(NOT_RUN)] for block in blocks(file, "sh")]
    return [block for block in lines if block]


CASES = [(file, block) for file in (README, STARTER / "README.md", OWN / "README.md") for block in commands(file)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the commands run: a folder with some documents, as a reader would have."""
    shutil.copytree(STARTER / "docs", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.chdir(ROOT)


@pytest.mark.parametrize(("file", "block"), CASES, ids=[f"{file.parent.name}: {block[0]}" for file, block in CASES])
def test_commands(file: Path, block: list[str], folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if file != README:
        shutil.copytree(file.parent, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for line in block:
        command, *arguments = shlex.split(line, comments=True)
        if command == "cd":
            os.chdir(arguments[0])
            continue
        assert command == "confrag", f"{line}: add a rule for it here"
        _run(arguments, capfd)


def _run(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    if "llm=openai_compatible" in arguments:
        # The command must get as far as asking for a server; none listens at port 9.
        assert main([argument.replace(":8000/", ":9/") for argument in arguments]) == 4
        assert "http://127.0.0.1:9/v1" in capfd.readouterr().err
        return
    if arguments[0] == "serve":  # tests/serve and test_serving.py run it
        assert load(None, arguments[1:])[1].serve.host == "127.0.0.1"
        return
    # The chat model takes its time and has tests of its own.
    forced = ["llm=extractive"] if arguments[0] == "run" else []
    arguments = [argument for argument in arguments if not forced or not argument.startswith("llm=")] + forced
    assert main(arguments) == 0
    out = capfd.readouterr().out
    if arguments[0] != "run":
        assert out.strip()
    elif "output=json" in arguments:
        assert json.loads(out)["answers"][0]["sources"]
    else:
        assert "\nSources\n  [1] " in out


def test_extractive_output_is_the_one_shown(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown, mistake, _ = blocks(README, "text")
    assert main(["run", "llm=extractive", "query=Where is the defibrillator?"]) == 0
    out = capfd.readouterr().out
    for line in shown.splitlines():
        assert line.removesuffix("…").strip() in out
    command, *message = mistake.splitlines()
    assert main(shlex.split(command.removeprefix("$ confrag "))) == 2
    assert capfd.readouterr().err.split() == " ".join(message).split()


def test_plan_is_the_one_shown(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, _, shown = blocks(README, "text")
    command, *lines = shown.splitlines()
    assert main(["ingest", "conf=multi_route"]) == 0
    capfd.readouterr()
    assert main(shlex.split(command.removeprefix("$ confrag "))) == 3
    assert capfd.readouterr().out.splitlines() == lines


def test_json_output_is_the_one_shown(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (shown,) = map(json.loads, blocks(README, "json"))
    (answer,) = shown["answers"]
    assert main(["run", "conf=hybrid", "llm=extractive", "output=json", f"query={answer['query']}"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert {key: document["corpus"][key] for key in shown["corpus"]} == shown["corpus"]
    found = document["answers"][0]
    assert found.keys() >= answer.keys()
    assert found["timings_ms"].keys() >= answer["timings_ms"].keys()
    (source,) = answer["sources"]
    source |= {"score": pytest.approx(source["score"], abs=0.001), "text": found["sources"][0]["text"]}
    assert {key: found["sources"][0][key] for key in source} == source


def test_python(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks(README, "python")
    load = confrag.load
    monkeypatch.setattr(confrag, "load", lambda name, overrides: load(name, [*overrides, "llm=extractive"]))
    exec(compile(program, str(README), "exec"), {})
    out = capsys.readouterr().out
    assert "['visiting.md'" in out
    assert "A membership costs 36 euros a year" in out
    assert "Torque wrenches are kept at the counter and signed out." in out


def test_the_preset_of_one_s_own(folder: Path) -> None:
    (preset,) = blocks(README, "yaml")
    (folder / "conf").mkdir()
    (folder / "conf" / "mine.yaml").write_text(preset, "utf-8")
    app = confrag.load("mine", ["llm=extractive"], config_dir=folder)
    assert [retriever.name for retriever in app.compiled.retrievers] == ["chunk", "lexical"]
    assert app.compiled.store.kind == "milvus"


def test_presets_and_models_are_those_that_exist() -> None:
    text = README.read_text("utf-8")
    presets = text.partition("## Presets")[2].partition("A preset is")[0]
    assert sorted(re.findall(r"`(\w+)`", re.sub(r"\|[^|\n]*\|$", "|", presets, flags=re.MULTILINE))) == list(
        options("conf")
    )
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\w+)[^|]*\| (\d+) \| (\S+) \|$", text.partition("## Models")[2], re.MULTILINE
    )
    roles = {"embedding": "embed", "reranking": "rerank", "chat": "chat"}
    assert {name: (roles[role], int(size), licence) for name, role, size, licence in rows} == {
        model.name: (model.role, round(model.size / 1e6), model.licence) for model in CATALOGUE.values()
    }


@pytest.mark.parametrize(
    "name", ["README.md", "examples/embedded_app/README.md", "examples/own_configuration/README.md"]
)
def test_links_lead_somewhere(name: str) -> None:
    file = ROOT / name
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text("utf-8"))
    assert [target for target in targets if not (file.parent / target).exists()] == []
