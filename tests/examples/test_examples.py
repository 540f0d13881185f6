"""The programs below examples/ run and find what they should."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of an example: a run writes its state beside it."""
    folder = tmp_path / request.param
    shutil.copytree(ROOT / "examples" / request.param, folder, ignore=shutil.ignore_patterns("__pycache__", ".confrag"))
    return folder


@pytest.mark.parametrize("copied", ["embedded_app"], indirect=True)
def test_help_desk_drafts_and_passes_on(copied: Path, run: Run) -> None:
    done = run("helpdesk.py", "tickets.jsonl", cwd=copied)
    assert done.returncode == 0, done.stderr
    replies = {reply["id"]: reply for reply in map(json.loads, done.stdout.splitlines())}
    assert list(replies) == [101, 102, 103, 104]
    assert replies[101]["files"][0] == "faq.md"
    assert "480 crowns for the first two hours" in replies[101]["reply"]
    assert replies[102]["files"][0] == "conditions-of-carriage.pdf"
    assert "surcharge of 40 crowns" in replies[102]["reply"]
    assert replies[103] == {"id": 103, "status": "for a person", "reply": None, "files": []}
    assert replies[104]["files"][0] == "timetable.xlsx"
    assert "22:40" in replies[104]["reply"]


@pytest.mark.parametrize("copied", ["embedded_app"], indirect=True)
def test_help_desk_answers_at_the_counter(copied: Path, run: Run) -> None:
    questions = "Where is the defibrillator?\n\nPlease cancel my magazine subscription.\n"
    done = run("helpdesk.py", cwd=copied, stdin=questions)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().split("\n\nNothing in the corpus", maxsplit=1)
    assert "Wall of the café, lower deck" in first
    assert "\nRead on in: safety.html" in first
    assert second.endswith("Read on in: nothing")


@pytest.mark.parametrize("copied", ["own_configuration"], indirect=True)
def test_own_configuration_from_python_with_a_transform_of_its_own(copied: Path, run: Run, tmp_path: Path) -> None:
    done = run(copied / "ask.py", "What do new singers pay?", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\n[1] What do new singers pay? Nothing for the first four rehearsals." in done.stdout
    assert "\n[1] faq.md: What do new singers pay?\n" in done.stdout


@pytest.mark.parametrize("copied", ["own_configuration"], indirect=True)
def test_own_configuration_on_the_command_line(copied: Path, run: Run) -> None:
    question = 'query="Who looks after the sheet music since the last elections?"'
    done = run("-m", "confrag", "run", "--config-dir", "settings", "conf=choir", question, "output=json", cwd=copied)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["corpus"]["nodes"] == {"MediumChunk": 9}
    source = document["answers"][0]["sources"][0]
    assert source["file"] == "minutes.txt"
    assert source["text"].startswith("Elections: Ms Brandt is elected librarian.")


@pytest.mark.parametrize("copied", ["own_configuration"], indirect=True)
def test_without_its_program_the_transform_is_unknown(copied: Path, run: Run) -> None:
    arguments = ("--config-dir", "settings", "conf=choir", "node_groups=entries")
    done = run("-m", "confrag", "validate", *arguments, cwd=copied)
    assert done.returncode == 2
    assert "node_groups.MediumChunk.transform.kind = 'faq': must be one of: sentence_splitter, " in done.stderr
