"""Files that were cut, deleted or overwritten behind the manifest's back: found at the next start, and made good."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import confrag
from tests.engine import Rows, Workplace, answers, hashed_registered, stored

from confrag.runtime.embedding_cache import cache_file  # isort: skip
from confrag.runtime.siblings import MANIFEST  # isort: skip

QUESTIONS = ["Which birds hunt?", "subject 7", "What is line 3 about?"]
LINES = "node_groups.MediumChunk.transform={kind: split, separator: '. '}"
PRESETS = ("map", "chroma", "milvus_hnsw")
NODES = 150
"""Enough that Chroma writes its index to disk."""


def delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    path.write_text("This is something else.")


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


Expected = tuple[Rows, list[object]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Workplace, Expected]]:
    """A workplace for a preset, with its store as it should be; made once."""
    made: dict[str, tuple[Workplace, Expected]] = {}

    def restored(preset: str) -> tuple[Workplace, Expected]:
        if preset not in made:
            place = Workplace(tmp_path_factory.mktemp(preset), common=(LINES,))
            for number in range(NODES // 10):
                lines = [f"Line {line} of {number} is about subject {number * line} and birds" for line in range(10)]
                place.write(**{f"file{number}": ". ".join(lines)})
            with place.load(preset) as app:
                assert app.corpus.nodes == {"MediumChunk": NODES}
                found = answers(app, QUESTIONS)
            made[preset] = place, (stored(place.state), found)
            shutil.copytree(place.state, place.root / "kept")
        place, expected = made[preset]
        shutil.rmtree(place.state)
        shutil.copytree(place.root / "kept", place.state)
        return place, expected

    return restored


def check(place: Workplace, preset: str, expected: Expected) -> confrag.App:
    """A start, after which all is as it was; nothing had to be embedded."""
    app = place.load(preset)
    with app:
        assert answers(app, QUESTIONS) == expected[1]
        assert (app.corpus.embedded, app.corpus.nodes) == (0, {"MediumChunk": NODES})
        rebuilt = app.corpus.added
    assert stored(place.collections()[0]).differences(expected[0]) == []
    assert app.plan().up_to_date
    assert rebuilt in (0, NODES // 10)
    return app


EVERY = (delete, cut, empty, overwrite)
STORE_FILES: dict[str, dict[str, tuple[Callable[[Path], None], ...]]] = {
    "map": {"map.db": EVERY},
    "chroma": {
        "chroma": (delete,),
        "chroma/chroma.sqlite3": EVERY,
        "chroma/segments.db": (delete, cut),
        "chroma/*-*": (delete,),
        "chroma/*/data_level0.bin": (delete, cut),
        "chroma/*/header.bin": (empty,),
        "chroma/*/index_metadata.pickle": (delete, overwrite),
    },
    "milvus_hnsw": {
        "milvus.db": (delete,),
        "milvus_segments.db": (delete, cut),
        "milvus.db/collections/*": (delete,),
        "milvus.db/collections/*/manifest.json": (delete, overwrite),
        "milvus.db/collections/*/schema.json": (cut,),
        "milvus.db/**/*.parquet": (delete, cut),
        "milvus.db/**/*.idx": (delete, cut),
    },
}
CASES = [
    (preset, file, damage)
    for preset, files in STORE_FILES.items()
    for file, damages in files.items()
    for damage in damages
]


@pytest.mark.parametrize(("preset", "file", "damage"), CASES)
def test_a_damaged_store_is_built_again(
    preset: str,
    file: str,
    damage: Callable[[Path], None],
    whole: Callable[[str], tuple[Workplace, Expected]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    place, expected = whole(preset)
    (collection,) = place.collections()
    (path,) = collection.glob(file)
    damage(path)
    caplog.set_level(logging.WARNING, "confrag")
    check(place, preset, expected)
    (message,) = (record.getMessage() for record in caplog.records if record.name == "confrag")
    assert message.startswith(f"{collection}: ")
    assert message.endswith("; it is built again from the corpus")


@pytest.mark.parametrize(
    ("preset", "damage"), [*(("map", damage) for damage in EVERY), ("chroma", delete), ("milvus_hnsw", cut)]
)
def test_a_damaged_manifest_is_made_anew(
    preset: str, damage: Callable[[Path], None], whole: Callable[[str], tuple[Workplace, Expected]]
) -> None:
    place, expected = whole(preset)
    (collection,) = place.collections()
    damage(collection / MANIFEST)
    outlook = place.load(preset).plan()
    assert (outlook.up_to_date, outlook.embed, outlook.cached) == (False, 0, NODES)
    why = "nothing is stored yet" if damage is delete else "the manifest cannot be read ("
    assert outlook.fresh is not None
    assert outlook.fresh.startswith(why)
    check(place, preset, expected)


def test_a_collection_without_its_folder(whole: Callable[[str], tuple[Workplace, Expected]]) -> None:
    place, expected = whole("map")
    shutil.rmtree(place.collections()[0])
    check(place, "map", expected)


def test_pages_of_the_manifest_that_are_damaged(whole: Callable[[str], tuple[Workplace, Expected]]) -> None:
    """It opens, and what it says of the files cannot be read."""
    place, expected = whole("map")
    path = place.collections()[0] / MANIFEST
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'files'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    check(place, "map", expected)


@pytest.mark.parametrize("database", ["manifest", "embedding cache"])
def test_a_database_of_a_newer_version(database: str, whole: Callable[[str], tuple[Workplace, Expected]]) -> None:
    place, expected = whole("map")
    path = place.collections()[0] / MANIFEST if database == "manifest" else cache_file(str(place.state))
    with closing(sqlite3.connect(path)) as opened:
        (version,) = opened.execute("PRAGMA user_version").fetchone()
        opened.execute("PRAGMA user_version = 99")
    message = (
        f"{path} was written by a newer confrag (version 99, this one knows {version}). "
        "Update confrag, or use another state_dir"
    )
    with pytest.raises(confrag.UserError) as caught:
        place.load("map").start()
    assert str(caught.value) == message
    if database == "manifest":
        with pytest.raises(confrag.UserError) as caught:
            place.load("map").plan()
        assert str(caught.value) == message
    with closing(sqlite3.connect(path)) as opened:
        opened.execute(f"PRAGMA user_version = {version}")
    check(place, "map", expected)


def test_a_lost_embedding_cache(whole: Callable[[str], tuple[Workplace, Expected]]) -> None:
    place, expected = whole("map")
    delete(cache_file(str(place.state)))
    check(place, "map", expected)
    # The store has the vectors that the cache has lost: only what is new is embedded.
    place.write(extra="Something else")
    with place.load("map") as app:
        assert (app.corpus.added, app.corpus.embedded, app.corpus.unchanged) == (1, 1, NODES // 10)
    (place.docs / "extra.txt").unlink()


def test_an_embedding_cache_that_is_none(whole: Callable[[str], tuple[Workplace, Expected]]) -> None:
    place, expected = whole("map")
    path = cache_file(str(place.state))
    overwrite(path)
    with pytest.raises(confrag.UserError) as caught:
        place.load("map").start()
    assert str(caught.value) == (
        f"{path} cannot be used as embedding cache: file is not a database. Delete it; it fills again"
    )
    delete(path)
    check(place, "map", expected)


def test_store_and_cache_both_lost(whole: Callable[[str], tuple[Workplace, Expected]]) -> None:
    place, expected = whole("chroma")
    delete(place.collections()[0] / "chroma")
    delete(cache_file(str(place.state)))
    with place.load("chroma") as app:
        assert app.corpus.embedded == NODES
        assert answers(app, QUESTIONS) == expected[1]


def fail(*args: object) -> None:
    raise RuntimeError("the machine stops")


def test_damage_behind_a_write_that_was_cut_short(
    whole: Callable[[str], tuple[Workplace, Expected]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is pending must not hide what is missing."""
    place, expected = whole("map")
    text = (place.docs / "file3.txt").read_text()
    place.write(file3="Other words")

    with monkeypatch.context() as patched:
        patched.setattr("confrag.runtime.ingest.write_nodes", fail)
        with pytest.raises(RuntimeError):
            place.load("map").start()
    place.write(file3=text)
    delete(place.collections()[0] / "map.db")
    check(place, "map", expected)


@pytest.mark.parametrize("left", ["a collection that was being created", "an index that was being written"])
def test_what_shows_only_when_it_is_written_to(
    left: str, whole: Callable[[str], tuple[Workplace, Expected]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus Lite cannot go on from everything that it leaves behind when it is killed."""
    place, expected = whole("milvus_hnsw")
    text = (place.docs / "file3.txt").read_text()
    place.write(file3="Other words")
    with monkeypatch.context() as patched:
        patched.setattr("confrag.runtime.ingest.write_nodes", fail)
        with pytest.raises(RuntimeError):
            place.load("milvus_hnsw").start()
    place.write(file3=text)
    (folder,) = place.collections()[0].glob("milvus.db/collections/*")
    if left.startswith("a collection"):
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "schema.json.tmp").touch()
    else:
        (index,) = folder.rglob("*.idx")
        cut(index)
    check(place, "milvus_hnsw", expected)


# A disk that is full.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_full_disk(preset: str, small_disk: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path / "place", common=(LINES,))
    place.write(first="Birds hunt. Fish swim")
    state = small_disk / "state"
    load = lambda: place.load(preset, "+models.embed.dim=1024", state=state)  # noqa: E731
    with load():
        pass
    for number in range(30):
        words = [f"Line {line} of {number} is about subject {number * line}" for line in range(40)]
        place.write(**{f"file{number}": ". ".join(words)})
    with pytest.raises(confrag.ConfragError) as caught:
        load().start()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("The disk is full: make room, and start again; nothing is lost")
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    with load() as app:
        found, report = answers(app, QUESTIONS), app.corpus
    rows, expected, twin = place.twin(preset, "+models.embed.dim=1024", questions=QUESTIONS)
    assert (report.nodes, report.version) == (twin.nodes, twin.version)
    # The nearest one; of so many that are equally far, an approximate index misses some.
    assert [hits[0] for hits in found] == [hits[0] for hits in expected]
    assert stored(state).differences(rows) == []
