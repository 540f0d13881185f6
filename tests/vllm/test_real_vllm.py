"""A real vLLM, on the CPU: both presets answer, stream, bear eight questions at once, and leave no process behind.

``make test-vllm`` builds the environment and names it by CONFRAG_VLLM.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import confrag

if "CONFRAG_VLLM" not in os.environ:
    pytest.skip("needs an environment of its own: make test-vllm", allow_module_level=True)

ENVIRONMENT = Path(os.environ["CONFRAG_VLLM"]).absolute()
CHECKPOINTS = {"vllm": "original", "vllm_awq": "awq"}
QUESTIONS = (
    "Who founded the ferry line?",
    "When was the ferry line founded?",
    "What was the name of the first boat?",
    "How long was the first boat?",
    "When was the lighthouse lit for the first time?",
    "Where was Ida Marsh a teacher?",
    "How much did the first boat cost?",
    "How many passengers travelled in the first summer?",
)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str], list[str]]:
    """The overrides that turn a preset to the CPU and to a small checkpoint."""

    def make(preset: str) -> list[str]:
        return [
            f"conf={preset}",
            f"state_dir='{tmp_path / 'state'}'",
            f"models.llm.path='{ENVIRONMENT / CHECKPOINTS[preset]}'",
            f"models.llm.python='{ENVIRONMENT / 'bin' / 'python'}'",
            "models.llm.max_model_len=2048",
            "models.llm.gpu_memory_utilization=null",
            "models.llm.args={max_num_seqs: 16, enforce_eager: true}",
            "generation.context_tokens=400",
            "generation.max_tokens=32",
        ]

    return make


def stat(pid: str) -> list[str]:
    """State, parent, group and session of a process, and what else ``/proc`` says; nothing when it has gone."""
    with suppress(OSError):
        return (Path("/proc") / pid / "stat").read_text("utf-8").rpartition(")")[2].split()
    return []


def processes() -> list[str]:
    return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def guards(parent: int) -> list[int]:
    """Children of a process that guard a server; each leads a session of its own."""
    found = [pid for pid in processes() if stat(pid)[1:2] == [str(parent)]]
    return [int(pid) for pid in found if b"models/guard.py" in (Path("/proc") / pid / "cmdline").read_bytes()]


def session(leader: int) -> list[int]:
    """The processes of a session, zombies excepted."""
    states = {pid: stat(pid) for pid in processes()}
    return [int(pid) for pid, state in states.items() if state[3:4] == [str(leader)] and state[0] != "Z"]


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def uncut(text: str) -> str:
    """Without what says that an answer reached `max_tokens`."""
    return text.strip().removesuffix("…").strip()


@pytest.mark.parametrize("preset", CHECKPOINTS)
def test_a_preset(preset: str, settings: Callable[[str], list[str]]) -> None:
    with confrag.load(None, overrides=settings(preset)) as app:
        (leader,) = guards(os.getpid())
        assert len(session(leader)) >= 4  # guard, server, engine, worker
        answer = app.ask(QUESTIONS[0])
        assert answer.text
        assert answer.sources[0].file == "history.md"
        assert 0 < answer.tokens["completion"] <= 32
        stream = app.stream(QUESTIONS[0])
        pieces = list(stream)
        assert len(pieces) > 5
        assert uncut("".join(pieces)) == uncut(stream.answer.text)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(app.ask, QUESTIONS))
        assert all(answer.text and answer.tokens["completion"] for answer in answers)
    assert session(leader) == []


def test_it_ends_when_its_parent_is_killed(settings: Callable[[str], list[str]]) -> None:
    command = [sys.executable, "-m", "confrag", "models", "serve", *settings("vllm_awq"), "output=json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            served = json.loads(parent.stdout.readline())
            (leader,) = guards(parent.pid)
            found = [word for word in settings("vllm_awq") if not word.startswith(("conf=", "models."))]
            found += ["conf=openai_compatible", "models.llm.base_url=served", f"models.llm.model={served['model']}"]
            for overrides in (settings("vllm_awq"), found):
                with confrag.load(None, overrides=overrides) as app:
                    assert app.ask(QUESTIONS[0]).text
                    assert guards(os.getpid()) == []  # nothing was loaded again
        finally:
            parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not session(leader), 30)
