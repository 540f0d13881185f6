"""The prompt on a terminal: a real pseudo-terminal, a real engine."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.models


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._end, child = pty.openpty()
        self.process = subprocess.Popen(command, cwd=folder, stdin=child, stdout=child, stderr=child, close_fds=True)
        os.close(child)
        self.text = ""
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._end, 4096)
            except OSError:  # the other end is closed
                data = b""
            with self._changed:
                self.text += data.decode("utf-8", "replace")
                self._changed.notify_all()
            if not data:
                return

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait_for(self, text: str, seconds: float = 120) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.text, seconds), self.text


def test_questions_at_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tea.md").write_text("Green tea is brewed at eighty degrees.", "utf-8")
    command = [sys.executable, "-m", "confrag", "run", "corpus.path=docs", "llm=extractive"]
    terminal = Terminal(command, tmp_path)
    try:
        terminal.wait_for("Ask a question; an empty line or Ctrl-D ends.")
        terminal.type("How hot is the water for green tea?\n")
        terminal.wait_for("eighty degrees")
        terminal.wait_for("[1] tea.md")
        terminal.type("\x04")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.process.kill()
    assert "Traceback" not in terminal.text
    assert "1 file, 1 MediumChunk; 1 texts embedded" in terminal.text


def test_an_interrupt_at_the_prompt_ends_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tea.md").write_text("Green tea is brewed at eighty degrees.", "utf-8")
    command = [sys.executable, "-m", "confrag", "run", "corpus.path=docs", "llm=extractive"]
    terminal = Terminal(command, tmp_path)
    try:
        terminal.wait_for("Ask a question")
        terminal.process.send_signal(2)
        assert terminal.process.wait(60) == 130
    finally:
        terminal.process.kill()
    assert "confrag: interrupted" in terminal.text
    assert "Traceback" not in terminal.text
