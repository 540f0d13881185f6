"""The packaged presets find the right document of the sample corpus; one engine for all questions of a language."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import confrag

ROOT = Path(__file__).parents[2]
QUESTIONS = [
    json.loads(line) for line in (ROOT / "tests" / "data" / "sample_questions.jsonl").read_text("utf-8").splitlines()
]


# Measured: quickstart 17, hybrid_sparse 19 of 20, chinese 9 of 9 as first source, all of them among the sources.
@pytest.mark.parametrize(
    ("preset", "english", "first"), [("quickstart", True, 16), ("hybrid_sparse", True, 18), ("chinese", False, 8)]
)
def test_the_right_file_comes_first(
    preset: str, english: bool, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [question for question in QUESTIONS if question["query"].isascii() is english]
    found = {}
    with confrag.load(preset, ["llm=extractive"]) as app:
        for question in asked:
            found[question["query"]] = [hit.file for hit in app.retrieve(question["query"])]
    misses = {q["query"]: found[q["query"]] for q in asked if found[q["query"]][0] != q["file"]}
    assert len(asked) - len(misses) >= first, misses
    assert all(question["file"] in found[question["query"]] for question in asked), misses
