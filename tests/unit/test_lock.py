"""One writer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from confrag.errors import UserError
from confrag.runtime.lock import Lock

HOLDER = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
input()
"""


def lock(*targets: Path, timeout_s: float = 0, said: list[str] | None = None, alone: str = "") -> Lock:
    return Lock(targets, timeout_s, (said if said is not None else []).append, alone)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "collections" / "abc"


@pytest.fixture
def held(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds it."""
    target.parent.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, f"{target}.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    target.with_name("abc.owner").write_text(str(process.pid))
    yield process
    process.kill()
    process.communicate()


def test_one_after_another(target: Path) -> None:
    first, second = lock(target), lock(target)
    assert not first.held
    assert not first.acquire()
    assert first.held
    assert target.with_name("abc.owner").read_text() == str(os.getpid())
    assert not first.acquire()
    assert not second.try_acquire()
    first.release()
    first.release()
    assert not first.held
    assert not target.with_name("abc.owner").exists()
    assert second.try_acquire()
    assert second.try_acquire()
    second.release()


def test_who_holds_it_is_said(target: Path, held: subprocess.Popen[str]) -> None:
    with pytest.raises(UserError) as caught:
        lock(target).acquire()
    assert str(caught.value) == (
        f"{target} is in use by another process (pid {held.pid}): it is released when that process has written its "
        "documents. Wait for it, raise lock_timeout_s, or use another state_dir"
    )


def test_one_that_has_not_yet_said_who_it_is(target: Path, held: subprocess.Popen[str]) -> None:
    target.with_name("abc.owner").unlink()
    with pytest.raises(UserError, match="abc is in use by another process: it is released"):
        lock(target).acquire()


def test_files_of_one_process_are_not_waited_for(target: Path, held: subprocess.Popen[str]) -> None:
    said: list[str] = []
    with pytest.raises(UserError, match=rf"abc is in use by another process \(pid {held.pid}\): One at a time$"):
        lock(target, timeout_s=1000, said=said, alone="One at a time").acquire()
    assert said == []


def test_a_wait_that_ends_well(target: Path, held: subprocess.Popen[str]) -> None:
    said: list[str] = []

    def release(text: str) -> None:
        said.append(text)
        held.kill()

    waiting = Lock([target], 1000, release, "")
    assert waiting.acquire()
    assert said == [f"{target} is being written by another process (pid {held.pid}); waiting up to 1000 s"]
    waiting.release()


def test_several_are_taken_all_or_none(target: Path, tmp_path: Path, held: subprocess.Popen[str]) -> None:
    free = tmp_path / "free"
    with pytest.raises(UserError, match="abc is in use"):
        lock(free, target).acquire()
    assert not lock(free, target).try_acquire()
    other = lock(free)
    assert other.try_acquire()
    other.release()


def test_another_thread_may_give_it_back(target: Path) -> None:
    first, second = lock(target), lock(target)
    first.acquire()
    thread = threading.Thread(target=first.release)
    thread.start()
    thread.join()
    assert second.try_acquire()
    second.release()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        lock(tmp_path / "file" / "abc").acquire()
    assert str(caught.value) == f"{tmp_path}/file: cannot be written: File exists"
