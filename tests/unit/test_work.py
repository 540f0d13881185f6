"""What is to do: corpus and configuration against the manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from confrag.build import prepare
from confrag.plan.model import Params
from confrag.runtime.corpus import Scan, SourceFile
from confrag.runtime.manifest import FileRecord, GroupRecord, Manifest, Stamp

prepare()

from confrag.runtime import work as module  # noqa: E402
from confrag.runtime.fingerprints import GroupRecipe  # noqa: E402
from confrag.runtime.work import Work, build_all, content_hash, find_work, stamp_of, unread_hash  # noqa: E402

ROOT = GroupRecipe("root", None, {"confrag": 1}, "r1")
CHUNK = GroupRecipe("chunk", "root", {"node_groups.chunk.size": 5}, "c1")
SENTENCE = GroupRecipe("sentence", "chunk", {"node_groups.sentence.separator": "."}, "s1")
WANTED = {recipe.group: recipe for recipe in (ROOT, CHUNK, SENTENCE)}


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RACY_NS", 0)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(f"text of {name}")
    return folder


@pytest.fixture
def manifest(tmp_path: Path, docs: Path) -> Iterator[Manifest]:
    """Of a store that holds all of it."""
    opened = Manifest(tmp_path / "manifest.sqlite3", create=True)
    opened.settle({path.name: record(path) for path in docs.iterdir()})
    for name, recipe in WANTED.items():
        opened.add_group(name, GroupRecord(recipe.fingerprint, recipe.values))
    yield opened
    opened.close()


def record(path: Path, **changes: object) -> FileRecord:
    made = {name: (recipe.fingerprint, 2) for name, recipe in WANTED.items()}
    return FileRecord(stamp_of(str(path)), content_hash(str(path)), "done", groups=made)._replace(**changes)


def found(docs: Path) -> Scan:
    return Scan(tuple(SourceFile(str(path), path.name) for path in sorted(docs.iterdir())), ())


def to_do(work: Work) -> dict[str, tuple[str, ...]]:
    return {entry.file.name: entry.groups for entry in work.files}


def test_nothing(docs: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "content_hash", None)
    work = find_work(found(docs), manifest, WANTED)
    assert work.nothing
    assert work.unchanged == ("a", "b", "c")
    assert not work.touched


def test_files_that_come_change_and_go(docs: Path, manifest: Manifest) -> None:
    (docs / "a").write_text("other text")
    (docs / "b").unlink()
    (docs / "d").write_text("new")
    work = find_work(found(docs), manifest, WANTED)
    assert (work.added, work.changed, work.removed, work.unchanged) == (("d",), ("a",), ("b",), ("c",))
    assert to_do(work) == {"a": tuple(WANTED), "d": tuple(WANTED)}
    assert not work.nothing


def test_another_time_and_the_same_content(docs: Path, manifest: Manifest) -> None:
    os.utime(docs / "a", (1, 1))
    shutil.copy(docs / "b", docs / "copy")
    (docs / "copy").rename(docs / "b")
    work = find_work(found(docs), manifest, WANTED)
    assert work.nothing
    assert work.touched == {name: stamp_of(str(docs / name)) for name in ("a", "b")}
    manifest.touch(work.touched)
    assert not find_work(found(docs), manifest, WANTED).touched


def test_a_young_file_is_compared_by_its_content(
    docs: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RACY_NS", 3600 * 10**9)
    assert stamp_of(str(docs / "a")).mtime_ns == -1
    manifest.settle({"a": record(docs / "a")})
    manifest.settle({"b": record(docs / "b", hash="of an earlier moment")})
    work = find_work(found(docs), manifest, WANTED)
    assert (work.changed, work.unchanged) == (("b",), ("a", "c"))


def test_what_was_cut_short_is_read_whatever_it_looks_like(docs: Path, manifest: Manifest) -> None:
    (docs / "new").write_text("new")
    manifest.begin({"a": stamp_of(str(docs / "a")), "new": stamp_of(str(docs / "new"))})
    work = find_work(found(docs), manifest, WANTED)
    assert (work.added, work.changed) == (("new",), ("a",))
    assert to_do(work) == {"a": tuple(WANTED), "new": tuple(WANTED)}
    (docs / "new").unlink()
    assert find_work(found(docs), manifest, WANTED).removed == ("new",)


def test_a_failed_file_is_left_alone_until_it_changes(docs: Path, manifest: Manifest) -> None:
    failed = record(docs / "a", hash="", state="failed", reason="broken")
    manifest.settle({"a": failed})
    work = find_work(found(docs), manifest, WANTED)
    assert work.nothing
    assert work.failed == {"a": "broken"}
    assert "a" not in work.unchanged
    (docs / "a").touch()
    work = find_work(found(docs), manifest, WANTED)
    assert (work.added, work.failed) == (("a",), {})
    given = Params({"year": 1999})
    manifest.settle({"a": record(docs / "a", hash=unread_hash(given), state="failed", reason="broken")})
    described, other = (
        Scan((SourceFile(str(docs / "a"), "a", given=said), *found(docs).files[1:]), ())
        for said in (given, Params({"year": 2000}))
    )
    assert find_work(described, manifest, WANTED).nothing
    assert find_work(other, manifest, WANTED).added == ("a",)


def test_a_failed_file_is_read_by_other_readers(docs: Path, manifest: Manifest) -> None:
    manifest.settle({"a": record(docs / "a", hash="", state="failed", reason="broken")})
    root = GroupRecipe("root", None, {"confrag": 1, "corpus.readers.x": "text"}, "r2")
    work = find_work(found(docs), manifest, {**WANTED, "root": root})
    assert work.added == ("a",)


def test_a_group_that_changed_is_written_for_all_files(docs: Path, manifest: Manifest) -> None:
    sentence = GroupRecipe("sentence", "chunk", {"node_groups.sentence.separator": ";"}, "s2")
    work = find_work(found(docs), manifest, {**WANTED, "sentence": sentence})
    assert [(entry.recipe, entry.reasons) for entry in work.groups] == [
        (sentence, ("node_groups.sentence.separator changed",))
    ]
    assert to_do(work) == dict.fromkeys("abc", ("sentence",))
    assert work.unchanged == ("a", "b", "c")


def test_a_group_changes_with_the_one_above(docs: Path, manifest: Manifest) -> None:
    chunk = GroupRecipe("chunk", "root", {"node_groups.chunk.size": 9}, "c2")
    sentence = GroupRecipe("sentence", "chunk", SENTENCE.values, "s2")
    work = find_work(found(docs), manifest, {"root": ROOT, "chunk": chunk, "sentence": sentence})
    why = ("node_groups.chunk.size changed",)
    assert [(entry.recipe.group, entry.reasons) for entry in work.groups] == [("chunk", why), ("sentence", why)]
    assert to_do(work) == dict.fromkeys("abc", ("chunk", "sentence"))


def test_groups_that_come_and_go(docs: Path, manifest: Manifest) -> None:
    fine = GroupRecipe("fine", "root", {}, "f1")
    work = find_work(found(docs), manifest, {"root": ROOT, "chunk": CHUNK, "fine": fine})
    assert [(entry.recipe.group, entry.reasons) for entry in work.groups] == [("fine", ("node_groups.fine is new",))]
    assert work.dropped == ("sentence",)
    assert to_do(work) == dict.fromkeys("abc", ("fine",))


def test_a_group_that_was_only_half_filled(docs: Path, manifest: Manifest) -> None:
    """A process was killed: the group is known, and some files have no rows in it."""
    manifest.settle({"b": record(docs / "b", groups={"root": ("r1", 1), "chunk": ("c1", 1)})})
    work = find_work(found(docs), manifest, WANTED)
    assert work.groups == ()
    assert to_do(work) == {"b": ("sentence",)}


def test_what_is_to_build_from_nothing(docs: Path) -> None:
    work = build_all(found(docs), WANTED, "nothing is stored yet", {})
    assert (work.fresh, work.added, work.nothing) == ("nothing is stored yet", ("a", "b", "c"), False)
    assert to_do(work) == {name: tuple(WANTED) for name in "abc"}
    assert {entry.reasons for entry in work.groups} == {()}
    stored = {"chunk": GroupRecord("c0", {"node_groups.chunk.size": 1}), "root": GroupRecord("r1", {})}
    work = build_all(found(docs), WANTED, "other", stored)
    assert {entry.recipe.group: entry.reasons for entry in work.groups} == {
        "root": (),
        "chunk": ("node_groups.chunk.size changed",),
        "sentence": ("node_groups.sentence is new",),
    }


def test_a_file_that_cannot_be_asked(docs: Path, manifest: Manifest) -> None:
    """It is read as a changed one, which says what is wrong with it."""
    scan = found(docs)
    (docs / "a").unlink()
    assert find_work(scan, manifest, WANTED).changed == ("a",)


@pytest.mark.parametrize(
    ("before", "now", "reasons"),
    [
        ({"x": 1, "y": 2}, {"x": 1, "y": 3}, ("y changed",)),
        # What comes and goes with a kind is not worth a word.
        ({"t.kind": "a", "t.size": 1}, {"t.kind": "b", "t.length": 2}, ("t.kind changed",)),
        ({"readers.txt": "html"}, {}, ("readers.txt changed",)),
        ({"m.embed": "1", "m.embed.dim": 3}, {"m.embed": "2", "m.embed.dim": 4}, ("m.embed.dim changed",)),
        ({"m.embed": "1", "m.embed.dim": 3}, {"m.embed": "2", "m.embed.dim": 3}, ("m.embed changed",)),
        ({"confrag": 0, "x": 1}, {"confrag": 1, "x": 2}, ("this version of confrag makes other nodes",)),
        ({"x": 1}, {"x": 1}, ()),
    ],
)
def test_reasons(before: dict[str, object], now: dict[str, object], reasons: tuple[str, ...]) -> None:
    assert GroupRecipe("g", None, now, "f").reasons(before) == reasons


def test_hash_and_stamp(docs: Path) -> None:
    assert content_hash(str(docs / "a")) == hashlib.sha256(b"text of a").hexdigest()
    status = (docs / "a").stat()
    assert stamp_of(str(docs / "a")) == Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    with pytest.raises(FileNotFoundError):
        stamp_of(str(docs / "none"))


def test_hash_and_stamp_cover_what_describes_a_file(docs: Path) -> None:
    path, sidecar = str(docs / "a"), docs / "a.meta.yaml"
    sidecar.write_text("year: 1")
    before = stamp_of(path, str(sidecar)), content_hash(path, str(sidecar))
    assert before[0] != stamp_of(path)
    assert before[1] != content_hash(path)
    sidecar.write_text("year: 2")
    assert stamp_of(path, str(sidecar)) != before[0]
    assert content_hash(path, str(sidecar)) != before[1]
    given = content_hash(path, "", Params({"year": 1}))
    assert given.partition("-")[0] == content_hash(path)
    assert given != content_hash(path, "", Params({"year": 2}))
    assert given == content_hash(path, "", Params({"year": 1}))
