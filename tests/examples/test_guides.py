"""The configurations of the guides are valid, their commands run, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confrag.cli import main
from confrag.config import load

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).with_suffix("").as_posix(): page.read_text("utf-8") for page in DOCS.rglob("*.md")}


def fenced(language: str) -> list[tuple[str, int, str]]:
    """(page, number, block) of each fenced block of a language."""
    return [
        (page, number, block)
        for page, text in sorted(PAGES.items())
        for number, block in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S))
    ]


YAML = fenced("yaml")
SHELL = [entry for entry in fenced("sh") if entry[0] != "serving"]  # these run in test_serving.py

NEEDS = {
    "a Chroma server at 127.0.0.1:8000",
    "a Milvus server at 127.0.0.1:19530",
    "a Milvus server at 10.0.0.5:19530",
    "a server with the interface of OpenAI at 127.0.0.1:8000",
    "vLLM and a GPU",
    "a key of OpenAI in OPENAI_API_KEY",
    "a free port, and goes on until it is ended",
    "an evaluation that was run",
    "a dataset",
    "Ray",
}
"""What the tests do not have: what the first line of a block may say, behind `# Needs`."""
NOT_RUN = ("pip install ", "make ", "python ", "export ", "mkdocs ", "code ")
"""Beginnings of commands that install something, or that the tests below tests/ run in another way."""


def test_there_are_some() -> None:
    assert {page for page, *_ in YAML} >= {"models", "retrieval", "tutorial"}
    assert {page for page, *_ in SHELL} >= {"caching", "tutorial"}


def test_what_is_not_run_is_listed() -> None:
    assert {found[1] for *_, block in SHELL if (found := re.match(r"# Needs (.+)\n", block))} == NEEDS


def test_whoever_adds_a_guide_writes_fences_that_are_looked_at() -> None:
    languages = {word for text in PAGES.values() for word in re.findall(r"^```(\S+)$", text, re.M)}
    assert languages <= {"yaml", "sh", "python", "text", "json", "toml", "javascript", "ini", "nginx", "yml"}


@pytest.mark.parametrize(("page", "number", "block"), YAML, ids=[f"{page}-{number}" for page, number, _ in YAML])
def test_a_configuration(page: str, number: int, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MY_KEY", "DEEPSEEK_API_KEY", "MILVUS_TOKEN"):
        monkeypatch.setenv(variable, "of-the-tests")
    monkeypatch.setenv("CONFRAG_REDIS_URL", "redis://127.0.0.1:6379/0")
    monkeypatch.setenv("CONFRAG_READ_TOKEN", "of-the-tests-to-read")
    monkeypatch.setenv("CONFRAG_WRITE_TOKEN", "of-the-tests-to-write")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "queries.jsonl").write_text('{"text": "When is it open?", "answers": ["at ten"]}\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    preset = tmp_path / "own" / "conf" / "guide.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text(block if block.startswith("# ") else f"# @package _global_\n# A guide's.\n{block}")
    load("guide", config_dir=tmp_path / "own")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the commands run, one after the other: each text is embedded once."""
    folder = tmp_path_factory.mktemp("guides")
    shutil.copytree(ROOT / "examples" / "starter" / "docs", folder / "docs")
    os.chdir(folder)
    yield folder
    os.chdir(ROOT)


@pytest.mark.parametrize(("page", "number", "block"), SHELL, ids=[f"{page}-{number}" for page, number, _ in SHELL])
def test_commands(
    page: str, number: int, block: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-tests")
    first, *lines = block.replace("\\\n", " ").splitlines()
    needs = re.fullmatch(r"# Needs (.+)", first)
    if needs is None:
        lines = [first, *lines]
    else:
        assert needs[1] in NEEDS, "say what is missing as another guide does, or add it to NEEDS"
    for line in lines:
        words = shlex.split(line, comments=True)
        if not words or line.startswith(NOT_RUN):
            continue
        # Presets are run by tests/integration/test_presets_run.py.
        if needs is not None or page.startswith("presets/"):
            _could_run(words)
        else:
            _runs(words, line)
            # `ingest` reports on standard error.
            assert any(capfd.readouterr())


def _runs(words: list[str], line: str) -> None:
    command, verb, *arguments = words
    assert command == "confrag", f"{line}: add a rule for it here, or say what it needs: # Needs ..."
    code = re.search(r"# exit code (\d)", line)
    # The chat model takes its time and has tests of its own.
    forced = ["llm=extractive"] if verb in ("run", "eval") else []
    kept = [word for word in arguments if not (forced and word.startswith("llm="))]
    assert main([verb, *kept, *forced]) == (int(code[1]) if code else 0)


def _could_run(words: list[str]) -> None:
    """What a server or a GPU is needed for is a valid command all the same."""
    command, *words = words
    if command != "confrag":
        return
    verb, *arguments = words
    if verb == "models":
        verb, *arguments = words[1:]
    if verb in ("run", "ingest", "plan", "serve") and "-m" not in arguments:
        assert main(["validate", *(word for word in arguments if not word.startswith("query"))]) == 0
    else:
        # Its usage is known.
        assert main([words[0], "--help"]) == 0


PROGRAMS = [entry for entry in fenced("python") if entry[0] != "serving" and "import confrag" in entry[2]]
"""What else there is in Python are single lines of such programs."""
ASKED = """
from fastapi.testclient import TestClient
with TestClient(site) as client:
    print(client.get("/help", params={"question": "When does the workshop open?"}).json())
"""


@pytest.mark.parametrize(
    ("page", "number", "block"), PROGRAMS, ids=[f"{page}-{number}" for page, number, _ in PROGRAMS]
)
def test_programs(page: str, number: int, block: str, folder: Path, run: Run) -> None:
    done = run("-c", block + (ASKED if "site = FastAPI" in block else ""), cwd=folder)
    assert done.returncode == 0, done.stderr
    # Something is found: a file, or as many nodes as the step keeps.
    assert "visiting.md" in done.stdout if page == "embedding" else done.stdout == "2\n"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    file = DOCS / f"{page}.md"
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[page])
    for target in targets:
        path, _, anchor = target.partition("#")
        found = (file.parent / path).resolve() if path else file
        assert found.exists(), target
        if anchor:
            assert anchor in _anchors(found.read_text("utf-8")), target


def _anchors(text: str) -> set[str]:
    """Of the headings, as GitHub and MkDocs write them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
