"""Benches as a user runs them. What is asserted are laws; times are for the reader of the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from confrag.bench import parallel
from confrag.bench.request import Request
from confrag.bench.startup import IMPORT, MEASURES, STARTS
from confrag.errors import UserError
from confrag.registry import FAMILIES, rebuild

pytestmark = pytest.mark.models

STORES = ("chroma",)
"""One is enough for the law, and takes a third of the time; `confrag bench startup` without a name does them all."""
CASES = (*STORES, *(f"lazyllm_{store}" for store in STORES))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "confrag", "bench", "startup", "corpus.path=harbour", *arguments]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the bench puts what it does not keep."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_startup(harbour: Path, temporary: Path) -> None:
    done = subprocess.run(
        command(*STORES, "bench.repeats=1", "output=json"),
        cwd=harbour.parent,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=570,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert list(document) == ["bench", "rows", "ratios", "machine", "versions"]
    assert document["bench"] == "startup"
    value = {(row["case"], row["measure"]): row["value"] for row in document["rows"]}
    assert len(value) == len(document["rows"])
    assert list(dict.fromkeys(row["measure"].partition(",")[0] for row in document["rows"])) == list(MEASURES)
    for case in CASES:
        for start in STARTS:
            assert value[case, f"{start} start"] > 0
            assert value[case, f"vectors, {start} start"] >= 2
        assert value[case, "retrieval"] > 0
        assert value[case, "texts embedded, first start"] == 2
        assert value[case, "distinct texts found, first start"] == 2
    assert value[IMPORT, "whole process"] > 0
    ratios = document["ratios"]
    for store in STORES:
        # The law: what is there is neither embedded nor stored again.
        assert ratios.pop(f"texts_embedded_second_{store}") == 0
        assert ratios.pop(f"rows_growth_second_{store}") == 0
        assert value[store, "texts embedded, third start"] == 0
        assert value[store, "rows, third start"] == value[store, "rows, first start"]
        assert value[store, "vectors, third start"] == value[store, "vectors, first start"] == 2
        assert ratios.pop(f"lazyllm_texts_embedded_second_{store}") == 2
        # LazyLLM 1.4 stores every row again at each start, except in memory.
        assert ratios.pop(f"lazyllm_rows_growth_second_{store}") == (0 if store == "map" else 1)
        for name in (f"second_over_first_{store}", f"lazyllm_second_over_first_{store}"):
            assert ratios.pop(name) > 0
        assert ratios.pop(f"process_over_import_{store}") > 0
    assert ratios == {}
    assert document["machine"]["cores"] >= 1
    assert document["versions"]["lazyllm"].startswith("1.4")
    kept = harbour.parent / done.stderr.strip().removeprefix("kept in ")
    assert sorted(path.name for path in kept.iterdir()) == ["chart.png", "report.json", "report.md"]
    assert json.loads((kept / "report.json").read_text("utf-8")) == json.loads(done.stdout)
    assert (kept / "chart.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (kept / "report.md").read_text("utf-8").startswith("# confrag bench startup\n")
    assert list(temporary.glob("confrag-bench-*")) == []


def test_a_document_that_nobody_can_read_ends_it(harbour: Path, temporary: Path) -> None:
    for path in harbour.iterdir():
        path.unlink()
    (harbour / "scan.pdf").write_bytes(b"%PDF-1.4 is all there is")
    done = subprocess.run(
        command("map", "bench.repeats=1"),
        cwd=harbour.parent,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("confrag: bench startup: map: rehearsal start failed (exit code 2):\n")
    assert "corpus.path: no file could be read (scan.pdf: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(temporary.iterdir()) == []
    assert not (harbour.parent / ".confrag").exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for child processes in /proc")
def test_an_interrupt_leaves_no_process_behind(harbour: Path, temporary: Path) -> None:
    bench = subprocess.Popen(
        command("map", "bench.repeats=1"),
        cwd=harbour.parent,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        children = _children(bench.pid)
        # To this one process only: on a terminal, the interrupt would reach the child as well.
        bench.send_signal(signal.SIGINT)
        out, err = bench.communicate(timeout=60)
    finally:
        bench.kill()
    assert (bench.returncode, out, err) == (130, "", "confrag: interrupted\n")
    # Whoever takes over a child that is ended may need a moment to notice.
    end = time.monotonic() + 10
    while (left := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []
    assert list(temporary.iterdir()) == []


def _children(pid: int, seconds: float = 60) -> list[str]:
    """Processes that a process has started, as soon as there is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return found
        time.sleep(0.05)
    raise AssertionError("no child process appeared")


def test_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ROUTES", (2, 3))
    monkeypatch.setattr(parallel, "HANGS_S", 2.0)
    monkeypatch.setattr(parallel, "DEADLINE_S", 0.2)
    told: list[tuple[str, int, int]] = []
    steps = dict(FAMILIES["steps"]._kinds)
    try:
        report = parallel.run(Request(overrides=("bench.repeats=1",)), lambda *state: told.append(state))
    finally:
        FAMILIES["steps"]._kinds.clear()
        FAMILIES["steps"]._kinds.update(steps)
        rebuild()
    value = {(row.case, row.measure): row.value for row in report.rows}
    assert value["a branch that hangs", "threads left behind"] == 0
    assert value["a branch that hangs", "answer"] < 2000
    assert {case for case, measure in value if measure == "3 routes"} == {"slowest", "parallel", "sequential"}
    assert list(report.ratios) == [
        f"{ratio}_{routes}" for routes in (2, 3) for ratio in ("parallel_over_slowest", "sequential_over_parallel")
    ]
    # Routes that are waited for one by one take twice as long at the least, however busy the machine is.
    assert value["sequential", "3 routes"] >= 150
    assert told[-1] == ("parallel", 3, 3)
    with pytest.raises(UserError, match="bench parallel has no cases to choose from, and knows no 'x'"):
        parallel.run(Request(words=("x",)), lambda *state: None)
