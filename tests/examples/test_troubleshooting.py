"""Each message that docs/troubleshooting.md explains is one that the code has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
MESSAGES = [message for _, message in re.findall(r"^### (`+)(.+)\1$", PAGE, re.M)]


def template(node: ast.AST) -> str:
    """A text of the code, with … for what is filled in; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.fixture(scope="module")
def templates() -> frozenset[str]:
    files = (ROOT / "confrag").rglob("*.py")
    return frozenset(template(node) for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))))


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_has_it(message: str, templates: frozenset[str]) -> None:
    assert [text for text in templates if message in text] != []


def test_there_are_thirty_or_more_each_with_a_way_out() -> None:
    assert len(MESSAGES) == len(set(MESSAGES)) >= 30
    sections = re.findall(r"^### `[^\n]+`\n\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert len(sections) == len(MESSAGES)
    assert all(section.strip() for section in sections)
