"""`confrag init` writes a project that runs with the command that it prints."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from confrag.cli import main
from confrag.config import load

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, list[str]]:
    """A fresh project, and the commands that `init` printed."""
    folder = tmp_path / "my handbook"
    assert main(["init", str(folder)]) == 0
    printed = capsys.readouterr().out
    return folder, [line.strip() for line in printed.splitlines() if line.startswith("  ")]


def test_the_printed_commands_work(project: tuple[Path, list[str]], run: Run) -> None:
    folder, (change, question, comparison) = project
    assert shlex.split(change) == ["cd", str(folder)]
    name, *arguments = shlex.split(question)
    assert name == "confrag"
    done = run("-m", "confrag", *arguments, "output=json", cwd=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["conf"] == "handbook"
    assert document["corpus"]["files"] == 7
    (answer,) = document["answers"]
    assert answer["sources"][0]["file"] == "visiting.md"
    assert "opens at 10:00 from Tuesday to Friday and at 9:00 on Saturday" in answer["answer"]
    name, *arguments = shlex.split(comparison)
    done = run("-m", "confrag", *arguments, "output=json", cwd=folder)
    assert done.returncode == 0, done.stderr
    sweep = json.loads(done.stdout)
    scores = {job["overrides"][-1]: job["metrics"]["ndcg@10"] for job in sweep["jobs"]}
    # Questions are not asked in the words of the text.
    assert scores["recall=lexical"] < scores["recall=hybrid"] <= scores["recall=dense"]
    assert "guides/punctures.md" in (Path(sweep["folder"]) / "report.html").read_text("utf-8")


def test_what_it_holds(project: tuple[Path, list[str]]) -> None:
    folder, _ = project
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    names = ("courses", "guides/brakes", "guides/gears", "guides/punctures", "prices", "visiting", "workshop-rules")
    documents = {"questions/queries.jsonl", *(f"docs/{name}.md" for name in names)}
    schemas = {".schema/preset.json", ".schema/node_groups.json"}
    assert files == {"README.md", "conf/handbook.yaml", "node_groups/sections.yaml", *schemas, *documents}
    for file in ("conf/handbook.yaml", "node_groups/sections.yaml"):
        (schema,) = re.findall(r"^# yaml-language-server: \$schema=(.+)$", (folder / file).read_text("utf-8"), re.M)
        named = folder / file
        checker = Draft202012Validator(json.loads((named.parent / schema).read_text("utf-8")))
        assert list(checker.iter_errors(yaml.safe_load(named.read_text("utf-8")))) == []


@pytest.mark.parametrize("recall", ["dense", "lexical", "hybrid", "multi_route"])
def test_its_own_option_goes_with_every_recall(
    project: tuple[Path, list[str]], recall: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = project
    monkeypatch.chdir(folder)
    _, config = load("handbook", [f"recall={recall}"], folder)
    own = yaml.safe_load((folder / "node_groups" / "sections.yaml").read_text("utf-8"))
    assert set(config.node_groups) == set(own)


def test_without_its_folder_of_options_it_says_how_to_name_it(
    project: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = project
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CONFRAG_CONFIG_DIR", raising=False)
    assert main(["eval", "-m", "conf=handbook", "recall=dense,lexical"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("confrag: conf=handbook: there is no such preset; known: ")
    assert error.endswith(". The file 'conf/handbook.yaml' here counts with --config-dir .\n")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"confrag: {tmp_path} exists and is not an empty folder; name another one\n"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    assert main(["init", str(file)]) == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "conf" / "handbook.yaml").is_file()


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["conf=map"]])
def test_one_folder_is_asked_for(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *arguments]) == 2
    error = capsys.readouterr().err
    assert f"'{' '.join(['init', *arguments])}' is not understood" in error
    assert "usage: confrag init DIR" in error
