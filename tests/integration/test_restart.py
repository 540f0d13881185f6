"""Starts after the first one: what changed in the corpus is done, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import confrag
from confrag.runtime.results import CorpusReport
from tests.engine import STORES, Hashed, Workplace, answers, hashed_registered, stored

from confrag.runtime import ingest, work  # isort: skip

ANIMALS = {
    "bees": "Queen bees lay two thousand eggs a day.|Worker bees live for six weeks.",
    "owls": "Barn owls hunt voles at night.",
    "north__seals": "Grey seals rest upon skerries.",
    "north__auks": "Little auks dive for copepods.",
}
QUESTIONS = ["How many eggs do queen bees lay?", "What do owls hunt?", "Where do seals rest?", "copepods"]


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(tmp_path)
    made.write(**ANIMALS)
    return made


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files are relied on at once, and not only two seconds later."""
    monkeypatch.setattr(work, "_RACY_NS", 0)


def start(place: Workplace, preset: str = "map", *more: str) -> CorpusReport:
    """One start, its report, and the promise that goes with every start: all is as if built from nothing."""
    with place.load(preset, *more) as app:
        report, found = app.corpus, answers(app, QUESTIONS)
    rows, expected, built = place.twin(preset, *more, questions=QUESTIONS)
    assert found == expected
    assert (report.version, report.nodes) == (built.version, built.nodes)
    (collection,) = place.collections()
    assert stored(collection).differences(rows) == []
    return report


def begin(place: Workplace, preset: str = "map") -> None:
    """The first start."""
    with place.load(preset):
        pass


def counts(report: CorpusReport) -> tuple[int, int, int, int]:
    assert report.files == report.added + report.changed + report.unchanged + sum(
        "not valid" not in failed.reason and failed.file.endswith(".txt") for failed in report.failed
    )
    return report.added, report.changed, report.removed, report.unchanged


@pytest.mark.parametrize("preset", STORES)
def test_an_unchanged_start_does_nothing(preset: str, place: Workplace) -> None:
    with place.load(preset) as app:
        assert counts(app.corpus) == (4, 0, 0, 0)
        assert app.corpus.embedded == app.corpus.nodes["MediumChunk"] == 4
        first, version = answers(app, QUESTIONS), app.corpus.version
    rows = stored(place.state)
    assert len(rows.vectors) == 4
    Hashed.asked.clear()
    for _ in range(3):
        with place.load(preset) as app:
            assert Hashed.asked == []
            assert counts(app.corpus) == (0, 0, 0, 4)
            assert (app.corpus.embedded, app.corpus.embedding_cache_hits) == (0, 0)
            assert (app.corpus.version, app.corpus.failed) == (version, ())
            assert answers(app, QUESTIONS) == first
        assert stored(place.state) == rows


@pytest.mark.usefixtures("settled")
def test_an_unchanged_start_reads_no_file(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(place)

    def refuse(path: Path, *args: object, **kwargs: object) -> bytes:
        raise AssertionError(f"{path} was read")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        patched.setattr(ingest, "read", refuse)
        with place.load("map") as app:
            assert counts(app.corpus) == (0, 0, 0, 4)


@pytest.mark.parametrize("preset", STORES)
def test_a_changed_file_costs_its_new_texts(preset: str, place: Workplace) -> None:
    place.common = ("node_groups.MediumChunk.transform={kind: split, separator: '|'}",)
    begin(place, preset)
    place.write(bees="Queen bees lay two thousand eggs a day.|Drones die in autumn.")
    Hashed.asked.clear()
    with place.load(preset) as app:
        assert Hashed.asked == ["Drones die in autumn."]
        assert counts(app.corpus) == (0, 1, 0, 3)
        assert (app.corpus.embedded, app.corpus.embedding_cache_hits) == (1, 1)
        assert app.retrieve("When do drones die?")[0].text == "Drones die in autumn."
        assert not [hit for hit in app.retrieve("Worker bees", topk=50) if "Worker" in hit.text]
    assert counts(start(place, preset)) == (0, 0, 0, 4)


@pytest.mark.parametrize("preset", STORES)
def test_files_come_and_go(preset: str, place: Workplace) -> None:
    begin(place, preset)
    (place.docs / "owls.txt").unlink()
    shutil.rmtree(place.docs / "north")
    place.write(newts="Smooth newts spend winter under logs.")
    with place.load(preset) as app:
        assert counts(app.corpus) == (1, 0, 3, 1)
        assert app.corpus.embedded == 1
        assert {hit.file for hit in app.retrieve("owls seals auks", topk=50)} == {"bees.txt", "newts.txt"}
    assert counts(start(place, preset)) == (0, 0, 0, 2)


@pytest.mark.parametrize("preset", STORES)
def test_a_renamed_file_embeds_nothing(preset: str, place: Workplace) -> None:
    begin(place, preset)
    (place.docs / "owls.txt").rename(place.docs / "birds.txt")
    (place.docs / "bees.txt").rename(place.docs / "north" / "bees.txt")
    Hashed.asked.clear()
    with place.load(preset) as app:
        assert Hashed.asked == []
        assert counts(app.corpus) == (2, 0, 2, 2)
        assert (app.corpus.embedded, app.corpus.embedding_cache_hits) == (0, 2)
        assert app.retrieve("What do owls hunt?")[0].file == "birds.txt"
        assert app.retrieve("queen bees")[0].file == "north/bees.txt"
    start(place, preset)


def test_a_file_that_is_renamed_and_changed(place: Workplace) -> None:
    begin(place)
    (place.docs / "owls.txt").unlink()
    place.write(birds="Barn owls hunt voles at dusk.")
    report = start(place)
    assert counts(report) == (1, 0, 1, 3)
    assert report.embedded == 1


@pytest.mark.usefixtures("settled")
def test_a_touched_file_is_nothing_to_do(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(place)
    (place.docs / "owls.txt").touch()
    os.utime(place.docs / "bees.txt", (1, 1))
    assert place.load("map").plan().up_to_date
    assert counts(start(place)) == (0, 0, 0, 4)
    # The new times have been noted: the contents need not be looked at again.
    monkeypatch.setattr(work, "content_hash", None)
    with place.load("map") as app:
        assert counts(app.corpus) == (0, 0, 0, 4)


@pytest.mark.usefixtures("settled")
def test_an_edit_that_keeps_size_and_time_is_found(place: Workplace) -> None:
    begin(place)
    path = place.docs / "owls.txt"
    before = path.stat()
    path.write_text("Barn owls hunt moles at night.")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert counts(start(place)) == (0, 1, 0, 3)


def test_an_edit_within_the_clock_of_the_file_system_is_found(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system with coarse times a file may change again without another stamp."""
    coarse = 1_000_000_000
    real = work.Stamp

    def rounded(size: int, mtime: int, ctime: int) -> work.Stamp:
        return real(size, mtime // coarse // 10**6, ctime // coarse // 10**6)

    monkeypatch.setattr(work, "Stamp", rounded)
    begin(place)
    place.write(owls="Barn owls hunt moles at night.")
    assert counts(start(place)) == (0, 1, 0, 3)


@pytest.mark.parametrize("preset", ["map", "chroma", "milvus_flat"])
def test_two_files_of_one_content_live_apart(preset: str, place: Workplace) -> None:
    place.write(copy=ANIMALS["owls"])
    with place.load(preset) as app:
        assert (app.corpus.embedded, app.corpus.nodes["MediumChunk"]) == (4, 5)
        assert {hit.file for hit in app.retrieve("What do owls hunt?", topk=2)} == {"owls.txt", "copy.txt"}
    (place.docs / "owls.txt").unlink()
    assert counts(start(place, preset)) == (0, 0, 1, 4)


def test_a_file_that_becomes_unreadable_and_readable_again(place: Workplace) -> None:
    begin(place)
    path = place.docs / "owls.txt"
    path.write_bytes(b"")
    report = start(place)
    assert [(failed.file, failed.reason) for failed in report.failed] == [("owls.txt", "empty (0 bytes)")]
    assert (report.unchanged, report.nodes["MediumChunk"]) == (3, 3)
    place.write(owls=ANIMALS["owls"])
    report = start(place)
    assert report.failed == ()
    assert counts(report) == (1, 0, 0, 3)
    assert report.embedded == 0


@pytest.mark.usefixtures("settled")
def test_a_failed_file_is_read_again_only_when_it_changed(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.docs / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    first = start(place)
    assert [failed.file for failed in first.failed] == ["broken.pdf"]
    assert place.load("map").plan().up_to_date
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "read", None)
        with place.load("map") as app:
            assert app.corpus.failed == first.failed
            assert (app.corpus.added, app.corpus.unchanged) == (0, 4)
    (place.docs / "broken.pdf").write_bytes(b"%PDF-1.4 broken still")
    assert place.load("map").plan().added == ("broken.pdf",)
    (place.docs / "broken.pdf").unlink()
    assert start(place).failed == ()


def test_a_failed_file_with_the_rule_fail_changes_nothing(place: Workplace) -> None:
    begin(place)
    place.write(owls="", bees="Bumble bees nest underground.")
    with pytest.raises(confrag.UserError, match=r"^owls\.txt: empty \(0 bytes\) \(corpus\.on_error=fail\)$"):
        place.load("map", "corpus.on_error=fail").start()
    place.write(owls=ANIMALS["owls"])
    assert start(place, "map", "corpus.on_error=fail").failed == ()
    assert counts(start(place)) == (0, 0, 0, 4)


def test_links_and_loops(place: Workplace, tmp_path: Path) -> None:
    (place.docs / "north" / "loop").symlink_to(place.docs)
    (place.docs / "alias.txt").symlink_to(place.docs / "owls.txt")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "eels.txt").write_text("Eels spawn in the Sargasso Sea.")
    (place.docs / "sea").symlink_to(outside)
    assert counts(start(place)) == (5, 0, 0, 0)
    (outside / "eels.txt").write_text("Eels spawn far away.")
    report = start(place)
    assert counts(report) == (0, 1, 0, 4)
    assert place.load("map").plan().up_to_date
    (place.docs / "sea").unlink()
    assert counts(start(place)) == (0, 0, 1, 4)


def growing(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> list[int]:
    """Let a file grow while it is read, the first `times` times; returns the lengths that were read."""
    real, lengths = ingest.read, []

    def read(file: Path, readers: object) -> object:
        if file != path:
            return real(file, readers)
        lengths.append(file.stat().st_size)
        if len(lengths) <= times:
            with file.open("a") as stream:
                stream.write(f" More {len(lengths)}.")
        return real(file, readers)

    monkeypatch.setattr(ingest, "read", read)
    return lengths


def test_a_file_that_changes_while_it_is_read(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.docs / "owls.txt"
    with monkeypatch.context() as patched:
        lengths = growing(patched, path, times=2)
        assert start(place).failed == ()
    assert len(lengths) == 4  # three times, and once for the twin
    assert path.read_text().endswith("More 2.")
    assert counts(start(place)) == (0, 0, 0, 4)


@pytest.mark.usefixtures("settled")
def test_a_file_that_never_rests_is_read_at_the_next_start(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.docs / "owls.txt"
    with monkeypatch.context() as patched:
        growing(patched, path, times=3)
        with place.load("map") as app:
            (failed,) = app.corpus.failed
            assert failed.reason == "it changes while it is read; it is read again at the next start"
    assert counts(start(place)) == (1, 0, 0, 3)


def test_a_file_that_changes_after_it_was_compared(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are of the content that was read, and the next start finds the newer one."""
    begin(place)
    place.write(owls="Barn owls hunt shrews.")
    real = ingest.read_file

    def late(file: object, readers: object) -> object:
        place.write(owls="Barn owls hunt frogs.")
        content = real(file, readers)
        place.write(owls="Barn owls hunt moths.")
        return content

    with monkeypatch.context() as patched:
        patched.setattr(ingest, "read_file", late)
        with place.load("map") as app:
            assert app.retrieve("What do owls hunt?")[0].text == "Barn owls hunt frogs."
    assert counts(start(place)) == (0, 1, 0, 3)


def test_a_file_that_goes_after_it_was_found(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ingest.read_file

    def late(file: work.SourceFile, readers: object) -> object:
        if file.name == "owls.txt":
            file.path.unlink()
        return real(file, readers)

    with monkeypatch.context() as patched:
        patched.setattr(ingest, "read_file", late)
        with place.load("map") as app:
            assert [(f.file, f.reason) for f in app.corpus.failed] == [("owls.txt", "No such file or directory")]
    report = start(place)
    assert (report.files, report.removed, report.failed) == (3, 1, ())


def test_a_corpus_of_several_paths(place: Workplace, tmp_path: Path) -> None:
    for folder, text in (("fungi", "Morels fruit in spring."), ("ferns", "Bracken spreads by rhizomes.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.txt").write_text(text)
    place.common = (f"corpus.path=['{tmp_path}/fungi','{tmp_path}/ferns/one.txt','{place.docs}']",)
    with place.load("map") as app:
        assert app.retrieve("Bracken rhizomes")[0].file == "ferns/one.txt"
        assert counts(app.corpus) == (6, 0, 0, 0)
    assert counts(start(place)) == (0, 0, 0, 6)
    (tmp_path / "ferns" / "one.txt").write_text("Maidenhair likes lime.")
    (tmp_path / "fungi" / "one.txt").rename(tmp_path / "fungi" / "two.txt")
    assert counts(start(place)) == (1, 1, 1, 4)


def test_globs_take_files_in_and_out(place: Workplace) -> None:
    begin(place)
    assert counts(start(place, "map", "corpus.exclude=['north/']")) == (0, 0, 2, 2)
    report = start(place)
    assert (counts(report), report.embedded) == ((2, 0, 0, 2), 0)


@pytest.mark.parametrize("preset", ["map", "chroma", "milvus_flat"])
def test_an_engine_that_runs_takes_in_changes(preset: str, place: Workplace) -> None:
    with place.load(preset) as app:
        place.write(owls="Barn owls hunt rats.", newts="Newts sleep.")
        (place.docs / "bees.txt").unlink()
        report = app.ingest()
        assert (counts(report), report.embedded) == ((1, 1, 1, 2), 2)
        assert app.retrieve("What do owls hunt?")[0].text == "Barn owls hunt rats."
        assert "bees.txt" not in {hit.file for hit in app.retrieve("queen bees", topk=50)}
        report = app.ingest()
        assert (counts(report), report.embedded, report.embedding_cache_hits) == ((0, 0, 0, 4), 0, 0)
        assert app.corpus.nodes == {"MediumChunk": 4}
    assert counts(start(place, preset)) == (0, 0, 0, 4)


@pytest.mark.usefixtures("settled")
def test_many_small_files(place: Workplace) -> None:
    for number in range(2_000):
        (place.docs / f"note{number:05}.txt").write_text(f"Note {number} is about subject{number * 7}.")
    with place.load("map") as app:
        assert counts(app.corpus) == (2_004, 0, 0, 0)
    for number in range(0, 2_000, 500):
        (place.docs / f"note{number:05}.txt").write_text(f"Note {number} changed.")
    (place.docs / "note00001.txt").unlink()
    report = start(place)
    assert (counts(report), report.embedded) == ((0, 4, 1, 1_999), 4)
