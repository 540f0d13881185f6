"""The record of what a collection holds."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from confrag.errors import UserError
from confrag.runtime.manifest import FileRecord, GroupRecord, Manifest, Stamp

STAMP = Stamp(10, 20, 30)
LATER = Stamp(11, 21, 31)


def done(content: str, **nodes: int) -> FileRecord:
    return FileRecord(STAMP, content, "done", groups={group: (f"recipe of {group}", n) for group, n in nodes.items()})


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    opened = Manifest(tmp_path / "manifest.sqlite3", create=True)
    yield opened
    opened.close()


def test_it_gives_back_what_it_was_told(manifest: Manifest) -> None:
    failed = FileRecord(LATER, "", "failed", "empty (0 bytes)", {"root": ("r", 0)})
    records = {"a.txt": done("x", root=1, chunk=4), "sub/b.txt": done("y", root=1, chunk=2), "c.pdf": failed}
    manifest.settle(records)
    assert manifest.files() == records
    assert manifest.counts() == {"root": 2, "chunk": 6}
    assert not manifest.pending()


def test_notes(manifest: Manifest) -> None:
    assert manifest.get("store") is None
    manifest.put("store", "map")
    manifest.put("store", "chroma")
    assert manifest.get("store") == "chroma"


def test_groups(manifest: Manifest) -> None:
    manifest.settle({"a": done("x", chunk=3, sentence=5)})
    chunk, sentence = (GroupRecord(f"recipe of {name}", {"size": 5, "text": "ü"}) for name in ("chunk", "sentence"))
    manifest.add_group("chunk", chunk)
    manifest.add_group("sentence", sentence)
    assert manifest.groups() == {"chunk": chunk, "sentence": sentence}
    manifest.drop_group("sentence")
    assert manifest.groups() == {"chunk": chunk}
    assert manifest.counts() == {"chunk": 3}
    assert manifest.files()["a"].groups == {"chunk": ("recipe of chunk", 3)}


def test_what_has_begun_is_pending_until_it_is_settled(manifest: Manifest) -> None:
    manifest.settle({"old": done("x", chunk=3), "other": done("z", chunk=1)})
    manifest.begin({"old": LATER, "new": LATER})
    assert manifest.pending()
    files = manifest.files()
    # The hash of what was done before tells a changed file from a new one.
    assert (files["old"].state, files["old"].hash, files["old"].groups) == ("pending", "x", {})
    assert (files["new"].state, files["new"].hash, files["new"].stamp) == ("pending", "", LATER)
    assert manifest.counts() == {"chunk": 1}
    manifest.settle({"new": done("y", chunk=2)}, removed=["old"])
    assert not manifest.pending()
    assert set(manifest.files()) == {"new", "other"}
    assert manifest.counts() == {"chunk": 3}


def test_to_touch_changes_the_stamp_alone(manifest: Manifest) -> None:
    manifest.settle({"a": done("x", chunk=3)})
    manifest.touch({"a": LATER})
    assert manifest.files()["a"] == done("x", chunk=3)._replace(stamp=LATER)


def test_the_version_is_that_of_names_and_contents(manifest: Manifest) -> None:
    manifest.settle({"a": done("x", chunk=3), "b": done("y", chunk=1)})
    version = manifest.version()
    assert len(version) == 12
    manifest.touch({"a": LATER})
    manifest.settle({"c": FileRecord(STAMP, "", "failed", "broken")})
    assert manifest.version() == version
    manifest.settle({"a": done("changed", chunk=3)})
    assert manifest.version() != version
    manifest.settle({"a": done("x", chunk=9)})
    assert manifest.version() == version
    manifest.settle({"d": done("x", chunk=3)}, removed=["a"])
    assert manifest.version() != version


def test_nothing_of_a_write_that_fails_is_kept(manifest: Manifest) -> None:
    manifest.settle({"a": done("x", chunk=3)})
    broken = done("y", chunk=1)._replace(groups={"chunk": ("r", None)})
    with pytest.raises(sqlite3.IntegrityError):
        manifest.settle({"b": broken}, removed=["a"])
    assert manifest.files() == {"a": done("x", chunk=3)}


def test_another_process_is_noticed(manifest: Manifest) -> None:
    before = manifest.data_version()
    manifest.put("own", "write")
    assert manifest.data_version() == before
    process = multiprocessing.get_context("spawn").Process(target=write_in, args=(manifest.path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert manifest.data_version() != before
    assert manifest.get("theirs") == "write"


def write_in(path: Path) -> None:
    with closing(Manifest(path, create=False)) as manifest:
        manifest.put("theirs", "write")


def test_a_reader_sees_one_state(manifest: Manifest) -> None:
    """Of two queries, none falls between two writes of another connection."""
    manifest.settle({"a": done("x", chunk=3)})
    with manifest._reading() as reading:
        before = reading.execute("SELECT count(*) FROM files").fetchone()
        with closing(Manifest(manifest.path, create=False)) as other:
            other.settle({"b": done("y", chunk=3)})
        assert reading.execute("SELECT count(*) FROM files").fetchone() == before
    assert len(manifest.files()) == 2


def test_one_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        Manifest(tmp_path / "none.sqlite3", create=False)
    assert list(tmp_path.iterdir()) == []


def test_to_read_one_writes_nothing(manifest: Manifest) -> None:
    manifest.settle({"a": done("x", chunk=3)})
    manifest.close()
    before = manifest.path.read_bytes()
    with closing(Manifest(manifest.path, create=False)) as opened:
        assert opened.files()
    assert manifest.path.read_bytes() == before
    assert [path.name for path in manifest.path.parent.iterdir()] == ["manifest.sqlite3"]


@pytest.mark.parametrize("create", [True, False])
def test_one_of_a_newer_version(manifest: Manifest, create: bool) -> None:
    with closing(sqlite3.connect(manifest.path)) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(UserError) as caught:
        Manifest(manifest.path, create=create)
    assert str(caught.value) == (
        f"{manifest.path} was written by a newer confrag (version 2, this one knows 1). "
        "Update confrag, or use another state_dir"
    )


def test_an_empty_one(tmp_path: Path) -> None:
    """Left by a process that was killed at its very beginning."""
    (tmp_path / "empty").touch()
    with pytest.raises(sqlite3.DatabaseError, match="it is empty"):
        Manifest(tmp_path / "empty", create=False)
    Manifest(tmp_path / "empty", create=True).close()
