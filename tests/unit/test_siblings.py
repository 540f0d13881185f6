"""A collection that begins as a copy of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from confrag.build import prepare
from confrag.runtime.manifest import UNFINISHED, FileRecord, GroupRecord, Manifest, Stamp

prepare()

from confrag.build.private.nodes import ROOT_GROUP  # noqa: E402
from confrag.runtime.fingerprints import GroupRecipe  # noqa: E402
from confrag.runtime.lock import Lock  # noqa: E402
from confrag.runtime.siblings import MANIFEST, Sibling, adopt, manifest_in, nearest_sibling  # noqa: E402

WANTED = {name: GroupRecipe(name, None, {}, f"{name}1") for name in (ROOT_GROUP, "chunk", "sentence", "fine")}


def collection(folder: Path, name: str, identity: str = "same", **groups: str) -> Path:
    """A collection with a manifest of these groups and fingerprints, and a store."""
    directory = folder / name
    directory.mkdir(parents=True)
    (directory / "rows.db").write_text(f"rows of {name}")
    manifest = Manifest(directory / MANIFEST, create=True)
    manifest.put("identity", identity)
    for group, fingerprint in {ROOT_GROUP: f"{ROOT_GROUP}1", **groups}.items():
        manifest.add_group(group, GroupRecord(fingerprint, {}))
    manifest.settle({"a": FileRecord(Stamp(1, 2, 3), "x", "done")})
    manifest.close()
    return directory


def note(directory: Path, key: str, value: str) -> None:
    with manifest_in(directory) as manifest:
        assert manifest is not None
        manifest.put(key, value)


def test_the_one_with_most_in_common(tmp_path: Path) -> None:
    collection(tmp_path, "none", chunk="other")
    collection(tmp_path, "one", chunk="chunk1", sentence="other")
    two = collection(tmp_path, "two", chunk="chunk1", sentence="sentence1")
    collection(tmp_path, "another_corpus", "else", chunk="chunk1", sentence="sentence1", fine="fine1")
    assert nearest_sibling(tmp_path / "new", WANTED, "same") == Sibling(two, 2)


def test_none(tmp_path: Path) -> None:
    assert nearest_sibling(tmp_path / "state" / "new", WANTED, "same") is None
    own = collection(tmp_path, "own", chunk="chunk1")
    assert nearest_sibling(own, WANTED, "same") is None


def test_one_that_shares_nothing_is_there_to_compare_with(tmp_path: Path) -> None:
    other = collection(tmp_path, "other", chunk="chunk0")
    assert nearest_sibling(tmp_path / "new", WANTED, "same") == Sibling(other, 0)


@pytest.mark.parametrize("trouble", ["unfinished", "newer", "garbage", "empty", "copy"])
def test_one_with_troubles_of_its_own_is_no_help(trouble: str, tmp_path: Path) -> None:
    broken = collection(tmp_path, "broken.copy" if trouble == "copy" else "broken", chunk="chunk1", fine="fine1")
    fine = collection(tmp_path, "fine", chunk="chunk1")
    if trouble == "unfinished":
        note(broken, UNFINISHED, "yes")
    elif trouble == "newer":
        with manifest_in(broken) as manifest:
            assert manifest is not None
            manifest._database.execute("PRAGMA user_version = 9")
    elif trouble != "copy":
        (broken / MANIFEST).write_bytes(b"garbage" * 1000 if trouble == "garbage" else b"")
    assert nearest_sibling(tmp_path / "new", WANTED, "same") == Sibling(fine, 1)


def test_a_copy(tmp_path: Path) -> None:
    old = collection(tmp_path, "old", chunk="chunk1")
    # Of a process that was killed while it copied.
    (tmp_path / "new.copy").mkdir()
    (tmp_path / "new.copy" / "half").touch()
    assert adopt(Sibling(old, 1), tmp_path / "new")
    names = sorted(path.name for path in old.iterdir())
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names == [MANIFEST, "rows.db"]
    assert not (tmp_path / "new.copy").exists()
    with manifest_in(tmp_path / "new") as manifest:
        assert manifest is not None
        assert set(manifest.groups()) == {ROOT_GROUP, "chunk"}
    # It is let go again.
    lock = Lock([old], 0, lambda text: None, "")
    assert lock.try_acquire()
    lock.release()


def test_one_that_is_in_use_is_not_copied(tmp_path: Path) -> None:
    old = collection(tmp_path, "old", chunk="chunk1")
    lock = Lock([old], 0, lambda text: None, "")
    lock.acquire()
    assert not adopt(Sibling(old, 1), tmp_path / "new")
    lock.release()
    assert not (tmp_path / "new").exists()
    note(old, UNFINISHED, "yes")
    assert not adopt(Sibling(old, 1), tmp_path / "new")


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = collection(tmp_path, "old", chunk="chunk1")

    def full(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    assert not adopt(Sibling(old, 1), tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["old"]


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with manifest_in(tmp_path) as manifest:
        assert manifest is None
    assert list(tmp_path.iterdir()) == []
