"""What an index keeps on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from confrag.build.indices.snapshot import DamagedError, Snapshot, folder_name


def one(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"one")
    (folder / "b.bin").write_bytes(b"")


def two(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"two")


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    assert Snapshot(tmp_path / "deep" / "index", {}).read() is None
    assert not (tmp_path / "deep").exists()


def test_what_is_written_is_read_by_another(tmp_path: Path) -> None:
    Snapshot(tmp_path, {"M": 16, "names": ("a", "b")}).write(one)
    kept = Snapshot(tmp_path, {"names": ["a", "b"], "M": 16}).read()
    assert kept is not None
    assert kept.path("a.bin").read_bytes() == b"one"
    assert sorted(path.name for path in kept.whole().iterdir()) == ["a.bin", "b.bin"]


def test_it_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, {})
    before = snapshot.write(one)
    assert snapshot.write(two) == snapshot.read()
    assert snapshot.read() != before
    assert not before.folder.exists()
    with pytest.raises(FileNotFoundError):
        before.path("a.bin")


def test_one_made_with_other_parameters_is_none(tmp_path: Path) -> None:
    Snapshot(tmp_path, {"M": 16}).write(one)
    assert Snapshot(tmp_path, {"M": 32}).read() is None


def test_a_writer_that_fails_changes_nothing(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, {})
    before = snapshot.write(one)

    def fail(folder: Path) -> None:
        two(folder)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        snapshot.write(fail)
    assert snapshot.read() == before
    assert before.path("a.bin").read_bytes() == b"one"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / "v-killed").mkdir()
    (tmp_path / "v-killed" / "a.bin").write_bytes(b"on")
    snapshot = Snapshot(tmp_path, {})
    assert snapshot.read() is None
    snapshot.write(one)
    assert not (tmp_path / "v-killed").exists()


@pytest.mark.parametrize("content", [b"", b"one more", b"onf"])
def test_a_file_that_changed_is_damaged(tmp_path: Path, content: bytes) -> None:
    snapshot = Snapshot(tmp_path, {})
    kept = snapshot.write(one)
    (kept.folder / "a.bin").write_bytes(content)
    again = snapshot.read()
    assert again is not None
    with pytest.raises(DamagedError, match=r"a\.bin is not as it was written"):
        again.path("a.bin")
    with pytest.raises(DamagedError):
        again.whole()
    with pytest.raises(DamagedError, match=r"c\.bin is not as it was written"):
        again.path("c.bin")


@pytest.mark.parametrize("head", ["", "{", "[]", "{}", json.dumps({"format": 1, "parameters": {}, "version": "v"})])
def test_a_head_that_changed_is_damaged(tmp_path: Path, head: str) -> None:
    snapshot = Snapshot(tmp_path, {})
    snapshot.write(one)
    (tmp_path / "current.json").write_text(head)
    with pytest.raises(DamagedError, match=r"current\.json cannot be read"):
        snapshot.read()


def test_names_become_folders() -> None:
    names = ["chunk", "Chunk", "../..", "..", "a/b", "a_b", "图", "表", "x" * 200, "x" * 199, "a\ud800"]
    folders = [folder_name(name) for name in names]
    assert len({folder.lower() for folder in folders}) == len(names)
    assert folders[0].startswith("chunk-")
    assert all(len(folder) < 60 and folder.isascii() and not set("/.\\") & set(folder) for folder in folders)
