"""The configurations of the guides are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from confrag.config import load

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = [
    (page.stem, number, block)
    for page in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S))
]


def test_there_are_some() -> None:
    assert {page for page, *_ in BLOCKS} >= {"models", "retrieval"}


@pytest.mark.parametrize(("page", "number", "block"), BLOCKS, ids=[f"{page}-{number}" for page, number, _ in BLOCKS])
def test_a_configuration(page: str, number: int, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MY_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.setenv(variable, "of-the-tests")
    (tmp_path / "papers").mkdir()
    monkeypatch.chdir(tmp_path)
    preset = tmp_path / "own" / "conf" / "guide.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text(block if block.startswith("# @package") else f"# @package _global_\n# A guide's.\n{block}")
    load("guide", config_dir=tmp_path / "own")
