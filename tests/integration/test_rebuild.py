"""Starts with another configuration: what depends on the change is built again, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import confrag
from confrag.runtime.results import CorpusReport
from tests.engine import STORES, Hashed, Workplace, answers, hashed_registered, stored

from confrag.cli.text import _summary  # isort: skip
from confrag.runtime.places import collection_dir  # isort: skip

TEXTS = {
    "bees": "Queen bees lay two thousand eggs a day; worker bees live for six weeks; drones die in autumn.",
    "owls": "Barn owls hunt voles at night; tawny owls call in winter.",
    "seals": "Grey seals rest upon skerries.",
}
QUESTIONS = ["How many eggs do queen bees lay?", "When do owls call?", "skerries"]
FILES = "node_groups.MediumChunk.transform={kind: split, separator: '|'}"
"""A chunk is a whole file."""
CLAUSES = ("recall=multi_route", "rerank=none", "node_groups.sentence.transform={kind: split, separator: '; '}")
"""Two routes: chunks, and what stands between semicolons."""
HALVES = (*CLAUSES, "node_groups.sentence.transform.separator=' in '")
"""The same, cut elsewhere."""
BACKENDS = ("map", "chroma", "milvus_flat")
NAMED = {
    "map": "store_conf.kwargs.uri='{}/own.db'",
    "chroma": "store_conf.kwargs.dir='{}/own'",
    "milvus_flat": "store_conf.kwargs.uri='{}/own.db'",
    "milvus_hnsw": "store_conf.kwargs.uri='{}/own.db'",
}


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(tmp_path, common=(FILES,))
    made.write(**TEXTS)
    return made


def started(app: confrag.App, place: Workplace, preset: str, *more: str, rows_in: Path | None = None) -> CorpusReport:
    """Start, and hold it against the plan before and against a twin that is built from nothing."""
    before = app.plan()
    with app:
        report, found = app.corpus, answers(app, QUESTIONS)
    assert (before.embed, before.cached) == (report.embedded, report.embedding_cache_hits)
    assert app.plan().up_to_date
    rows, expected, _ = place.twin(preset, *more, questions=QUESTIONS)
    assert found == expected
    assert stored(rows_in or collection_dir(app.compiled)).differences(rows) == []
    return report


def start(place: Workplace, preset: str, *more: str) -> CorpusReport:
    return started(place.load(preset, *more), place, preset, *more)


def start_named(place: Workplace, preset: str, *more: str) -> CorpusReport:
    """The same at a place that the user named."""
    folder = place.root / "named"
    folder.mkdir(exist_ok=True)
    named = place.load(preset, NAMED[preset].format(folder), *more)
    return started(named, place, preset, *more, rows_in=folder)


def reasons(place: Workplace, preset: str, *more: str) -> str:
    """What `run` says of it."""
    from confrag.runtime.collection import Collection
    from confrag.runtime.overlay import Overlay

    plan = place.load(preset, *more).compiled
    return _summary(Collection(plan, Overlay(plan)).work())


def row_numbers(database: Path, group: str) -> dict[str, int]:
    """Where SQLite keeps the rows of a group: one that is written again has another number."""
    with closing(sqlite3.connect(database)) as opened:
        return dict(opened.execute("SELECT uid, rowid FROM segments WHERE collection LIKE ?", (f"%{group}",)))


@pytest.mark.parametrize("preset", STORES)
def test_a_group_that_changes_leaves_the_others_alone(preset: str, place: Workplace) -> None:
    assert start(place, preset, *CLAUSES).nodes == {"MediumChunk": 3, "sentence": 6}
    said = "node_groups.sentence.transform.separator changed: rebuild `sentence`"
    assert reasons(place, preset, *HALVES) == said
    Hashed.asked.clear()
    report = start(place, preset, *HALVES)
    assert report.nodes == {"MediumChunk": 3, "sentence": 5}
    assert (report.added, report.changed, report.unchanged) == (0, 0, 3)
    assert Hashed.asked[: report.embedded] == sorted(Hashed.asked[: report.embedded], key=Hashed.asked.index)
    assert report.embedded == 4  # and one half is a whole file
    first, second = (collection_dir(place.load(preset, *more).compiled) for more in (CLAUSES, HALVES))
    (texts,) = (path for path in first.rglob("*.db") if path.is_file())
    chunks = row_numbers(texts, "mediumchunk")
    assert chunks
    assert row_numbers(second / texts.relative_to(first), "mediumchunk") == chunks
    # Going back costs nothing: both are kept.
    before = stored(first)
    report = start(place, preset, *CLAUSES)
    assert (report.embedded, report.embedding_cache_hits, report.unchanged) == (0, 0, 3)
    assert stored(first) == before


def test_a_chunk_that_changes_takes_its_sentences_along(place: Workplace) -> None:
    start(place, "map", *CLAUSES)
    other = (*CLAUSES, "node_groups.MediumChunk.transform.separator='; '")
    changed = "node_groups.MediumChunk.transform.separator changed"
    assert reasons(place, "map", *other) == (
        "nothing is stored yet in this configuration; files: 3 added; "
        f"{changed}: build `MediumChunk`; {changed}: build `sentence`"
    )
    report = start(place, "map", *other)
    assert report.nodes == {"MediumChunk": 6, "sentence": 6}
    assert report.embedded == 0


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("+models.embed.salt=pepper", "models.embed.salt changed: build `MediumChunk`"),
        ("+models.embed.dim=64", "models.embed.dim changed: build `MediumChunk`"),
        ("recall=lexical", "node_groups.MediumChunk.embed changed: build `MediumChunk`"),
        ("+corpus.readers={txt: markdown}", "corpus.readers.txt changed: build `MediumChunk`"),
    ],
)
def test_what_a_whole_collection_depends_on(override: str, reason: str, place: Workplace) -> None:
    with place.load("map"):
        pass
    assert reason in reasons(place, "map", override)
    report = start(place, "map", override)
    assert (report.added, report.unchanged) == (3, 0)
    back = start(place, "map")
    assert (back.added, back.embedded, back.embedding_cache_hits, back.unchanged) == (0, 0, 0, 3)


@pytest.mark.parametrize("preset", BACKENDS)
def test_a_named_place_is_rebuilt_where_it_is(preset: str, place: Workplace) -> None:
    """One store, whatever the configuration: groups come, change and go in it."""
    assert start_named(place, preset).nodes == {"MediumChunk": 3}
    for more, nodes in (
        (CLAUSES, {"MediumChunk": 3, "sentence": 6}),
        (HALVES, {"MediumChunk": 3, "sentence": 5}),
        ((), {"MediumChunk": 3}),
        (("+models.embed.dim=64", "node_groups.MediumChunk.transform.separator='; '"), {"MediumChunk": 6}),
    ):
        report = start_named(place, preset, *more)
        assert report.nodes == nodes
        assert (report.added, report.unchanged) == (0, 3)
    place.write(owls="Tawny owls call in autumn.")
    (place.docs / "bees.txt").unlink()
    report = start_named(place, preset)
    assert (report.changed, report.removed, report.unchanged, report.embedded) == (1, 1, 1, 1)
    assert len(place.collections()) == 1


@pytest.mark.parametrize("preset", BACKENDS)
def test_a_group_that_is_not_embedded_any_more_keeps_no_vectors(preset: str, place: Workplace) -> None:
    start_named(place, preset)
    report = start_named(place, preset, "recall=lexical")
    assert (report.nodes, report.unchanged) == ({"MediumChunk": 3}, 3)
    assert stored(place.root / "named").vectors == {}
    report = start_named(place, preset, "recall=hybrid")
    assert (report.added, report.embedded, report.embedding_cache_hits) == (0, 0, 3)


def test_another_index_at_a_named_place(place: Workplace) -> None:
    for preset in ("milvus_flat", "milvus_hnsw", "milvus_flat"):
        report = start_named(place, preset)
        assert (report.added, report.unchanged) == (3, 0)
    report = start_named(place, "milvus_flat")
    assert (report.added, report.unchanged) == (0, 3)


@pytest.mark.parametrize("preset", BACKENDS)
def test_another_corpus_at_a_named_place(preset: str, place: Workplace, tmp_path: Path) -> None:
    start_named(place, preset)
    other = tmp_path / "other"
    other.mkdir()
    (other / "owls.txt").write_text(TEXTS["owls"])
    (other / "newts.txt").write_text("Newts sleep under logs.")
    report = start_named(place, preset, f"corpus.path='{other}'")
    assert (report.files, report.removed) == (2, 2)
    assert report.embedded == 1


def test_a_store_that_is_no_store_of_ours_is_never_replaced(place: Workplace) -> None:
    for preset, kind in (("chroma", "own"), ("map", "own.db"), ("milvus_flat", "own.db")):
        folder = place.root / "named"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / "precious").write_text("precious")
        with pytest.raises(confrag.UserError, match="exists and was not made by confrag, so it is left alone"):
            place.load(preset, NAMED[preset].format(folder)).start()
        assert [path.name for path in (folder / kind).iterdir()] == ["precious"]
