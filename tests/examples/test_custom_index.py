"""The example of an index of one's own: installed as a package, and registered by a program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_index"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the example: a run writes its state beside it."""
    return shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__", ".confrag"))


@pytest.fixture
def _installed(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, where Python and its entry points are found, for the processes of this test only."""
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(site), str(copied)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    monkeypatch.setenv("PYTHONPATH", str(site))
    shutil.rmtree(copied / "confrag_fuzzy")


@pytest.mark.usefixtures("_installed")
def test_a_package_brings_it(copied: Path, run: Run) -> None:
    question = 'query="When does the rododendrum bloom?"'
    done = run("-m", "confrag", "run", "--config-dir", "settings", "conf=plants", question, "output=json", cwd=copied)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["answers"]
    assert [source["text"].partition(":")[0] for source in answer["sources"]] == ["Rhododendron"]
    assert answer["sources"][0]["group"] == "plant"
    assert "flowers from April to June" in answer["answer"]


def test_without_the_package_it_is_unknown(copied: Path, run: Run) -> None:
    done = run(
        "-m", "confrag", "validate", "--config-dir", "../settings", "conf=plants", "corpus.path=.", cwd=copied / "docs"
    )
    assert done.returncode == 2
    assert "indices.names.kind = 'fuzzy': must be one of: linear, trie, hnsw" in done.stderr


def test_a_program_brings_it(copied: Path, run: Run) -> None:
    program = (
        "import confrag\n"
        "from confrag_fuzzy import register\n"
        "register()\n"
        "with confrag.load('plants', config_dir='settings') as app:\n"
        "    hits = app.retrieve('Is a fox glove or a crysanthemum poisonous?')\n"
        "print([hit.text.partition(':')[0] for hit in hits])\n"
    )
    done = run("-c", program, cwd=copied)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['Chrysanthemum', 'Foxglove']\n"
