"""What tests of several folders share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

WritePreset = Callable[[str | bytes], Path]

# A suite that was started in the background ignores interrupts, and would pass that on to the commands it tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A law holds on a busy machine, too.
settings.register_profile("confrag", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("confrag")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own folder of configurations and keys are no part of a test; a preset names one."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-tests")
    monkeypatch.delenv("CONFRAG_CONFIG_DIR", raising=False)


@pytest.fixture
def write_preset(tmp_path: Path) -> WritePreset:
    """Writes a preset ``mine`` of the user's own; returns the folder for ``--config-dir``.

    Text gets the header that every preset has; bytes are written as they are.
    """

    def write(content: str | bytes) -> Path:
        folder = tmp_path / "own" / "conf"
        folder.mkdir(parents=True, exist_ok=True)
        body = content if isinstance(content, bytes) else f"# @package _global_\n# A test's.\n{content}".encode()
        (folder / "mine.yaml").write_bytes(body)
        return folder.parent

    return write


@pytest.fixture
def harbour(tmp_path: Path) -> Path:
    """A corpus of two short documents."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    (folder / "office.txt").write_text("The harbour office opens at nine o'clock. It closes at noon on Saturdays.")
    (folder / "cranes.md").write_text("# Cranes\n\nThe northern crane lifts forty tonnes. It was built in 1964.\n")
    return folder
