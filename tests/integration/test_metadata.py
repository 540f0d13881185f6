"""Metadata of documents through the engine: where they come from, and what becomes of the rows when they change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from confrag.errors import UserError
from tests.engine import Hashed, Workplace, hashed_registered

FIELDS = ("doc_fields.subject=string", "doc_fields.year=int", "doc_fields.tags=strings", "doc_fields.seen=date")
STORES = ["map", "chroma", "milvus_flat"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A corpus of three files, one of them with a sidecar file."""
    place = Workplace(tmp_path, common=FIELDS)
    place.write(cells="Cells divide.", rocks="Rocks are old.", stars="Stars shine.")
    (place.docs / "rocks.txt.meta.yaml").write_text("subject: geology\nyear: 1999\nauthor: Hutton\n")
    with hashed_registered():
        yield place


def files(place: Workplace, preset: str, filters: dict[str, object], *more: str) -> list[str]:
    with place.load(preset, *more) as app:
        return sorted(hit.file for hit in app.retrieve("cells rocks stars", filters=filters))


@pytest.mark.parametrize("store", STORES)
def test_a_changed_sidecar_changes_the_rows_and_embeds_nothing(place: Workplace, store: str) -> None:
    sidecar = place.docs / "rocks.txt.meta.yaml"
    assert files(place, store, {"subject": "geology"}) == ["rocks.txt"]
    for content, subject in (("subject: history", "history"), ('{"subject": "stone"}', "stone"), (None, None)):
        if content is None:
            sidecar.unlink()
        else:
            sidecar.unlink()
            sidecar = sidecar.with_suffix(".json" if content.startswith("{") else ".yaml")
            sidecar.write_text(content)
        outlook = place.load(store).plan()
        assert (outlook.changed, outlook.unchanged, outlook.embed) == (("rocks.txt",), ("cells.txt", "stars.txt"), 0)
        Hashed.asked.clear()
        with place.load(store) as app:
            assert (app.corpus.changed, app.corpus.embedded) == (1, 0)
            found = {hit.file: hit.metadata for hit in app.retrieve("rocks")}
            assert found == {"cells.txt": {}, "stars.txt": {}, "rocks.txt": {"subject": subject} if subject else {}}
            assert app.retrieve("rocks", filters={"subject": "geology"}) == []
            assert [hit.file for hit in app.retrieve("rocks", filters={"subject": subject or "x"})] == (
                ["rocks.txt"] if subject else []
            )
            assert app.corpus.nodes["MediumChunk"] == 3
        assert Hashed.asked == []
        assert place.load(store).plan().up_to_date


@pytest.mark.parametrize("store", STORES)
def test_metadata_of_the_configuration_change_the_files_concerned(place: Workplace, store: str) -> None:
    first = "corpus.metadata.old={glob: '[cr]*', values: {year: 1900, tags: [x]}}"
    assert files(place, store, {"year": 1900}, first) == ["cells.txt"]  # the sidecar file goes before it
    assert files(place, store, {"tags": "x"}, first) == ["cells.txt", "rocks.txt"]
    assert place.load(store, first).plan().up_to_date
    second = "corpus.metadata.old={glob: 'c*', values: {year: 1900, tags: [x]}}"
    outlook = place.load(store, second).plan()
    assert (outlook.changed, outlook.embed) == (("rocks.txt",), 0)
    assert files(place, store, {"tags": "x"}, second) == ["cells.txt"]
    assert place.load(store).plan().changed == ("cells.txt",)
    assert files(place, store, {"tags": "x"}) == []
    assert len(place.collections()) == 1


def test_the_last_source_of_a_field_counts_and_what_is_not_declared_travels(place: Workplace) -> None:
    (place.docs / "cells.txt").write_text("---\nyear: 2001\nseen: 2020-02-03\npages: [1, 2]\ndeep: {a: 1}\n---\nCells.")
    (place.docs / "cells.txt.meta.json").write_text('{"subject": "biology", "tags": ["a", "b"], "note": null}')
    given = "{glob: '*', values: {subject: any, year: 1, tags: [c], shelf: 7}}"
    with place.load("map", f"corpus.metadata.all={given}") as app:
        (hit,) = app.retrieve("cells", filters={"subject": "biology", "year": 2001, "seen": {"<": "2020-02-04"}})
        assert hit.metadata == {
            "subject": "biology",
            "year": 2001,
            "tags": ["a", "b"],
            "seen": "2020-02-03",
            "pages": [1, 2],
            "shelf": 7,
        }
        assert hit.text == "Cells."
        (rocks,) = app.retrieve("rocks", filters={"file": "rocks.txt"})
        assert rocks.metadata == {"subject": "geology", "year": 1999, "tags": ["c"], "author": "Hutton", "shelf": 7}


def test_later_entries_of_the_configuration_go_before_earlier_ones(place: Workplace) -> None:
    preset = place.config_dir / "conf" / "mine.yaml"
    preset.parent.mkdir()
    entries = "{wide: {glob: '**', values: {year: 1, subject: x}}, 'c*': {values: {year: 2}}}"
    preset.write_text(f"# @package _global_\n# A name that is a glob.\ncorpus:\n  metadata: {entries}\n")
    with place.load("mine") as app:
        assert {hit.file: hit.metadata["year"] for hit in app.retrieve("cells")} == {
            "cells.txt": 2,
            "rocks.txt": 1999,
            "stars.txt": 1,
        }


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "stars.txt.meta.yaml",
            "year: last",
            "metadata 'year' = 'last' (stars.txt.meta.yaml) must be a whole number of at most 63 bits; "
            "doc_fields declares it as int",
        ),
        (
            "stars.txt.meta.json",
            '{"tags": "x"}',
            "metadata 'tags' = 'x' (stars.txt.meta.json) must be a list of texts; doc_fields declares it as strings",
        ),
        ("stars.txt.meta.json", "[1]", "its metadata in stars.txt.meta.json must be a mapping (key: value)"),
        (
            "stars.txt.meta.json",
            "{",
            "its metadata in stars.txt.meta.json cannot be read: no JSON (Expecting property name enclosed in double "
            "quotes: line 1 column 2 (char 1))",
        ),
        (
            "stars.txt",
            "---\nseen: 2020-02\n---\nStars.",
            "metadata 'seen' = '2020-02' (its front matter) must be a date, YYYY-MM-DD; doc_fields declares it as date",
        ),
        (
            "stars.txt.meta.json",
            '{"subject": "' + 70_000 * "x" + '"}',
            "its metadata take 70,015 bytes; at most 60,000 can be filtered by: shorten them",
        ),
    ],
    ids=["type", "list", "mapping", "json", "front", "size"],
)
def test_metadata_that_cannot_be_taken(place: Workplace, name: str, content: str, reason: str) -> None:
    (place.docs / name).write_text(content)
    with place.load("map") as app:
        assert [(failed.file, failed.reason) for failed in app.corpus.failed] == [("stars.txt", reason)]
        assert app.corpus.added == 2
    assert place.load("map").plan().failed == {"stars.txt": reason}
    with pytest.raises(UserError) as caught:
        place.load("map", "corpus.on_error=fail").ingest()
    assert str(caught.value) == f"stars.txt: {reason} (corpus.on_error=fail)"
    (place.docs / name).write_text("{}" if name.endswith((".json", ".yaml")) else "Stars.")
    with place.load("map") as app:
        assert (app.corpus.added, app.corpus.failed) == (1, ())


def test_sidecar_files_without_a_document_or_beside_another_one(place: Workplace) -> None:
    (place.docs / "gone.txt.meta.yaml").write_text("year: 1")
    (place.docs / "rocks.txt.meta.json").write_text("{}")
    with place.load("map") as app:
        assert [(failed.file, failed.reason) for failed in app.corpus.failed] == [
            ("gone.txt.meta.yaml", "describes 'gone.txt', which is not there"),
            ("rocks.txt.meta.yaml", "'rocks.txt' is described already, by 'rocks.txt.meta.json'"),
        ]
        assert app.corpus.files == 3


@pytest.mark.parametrize("store", STORES)
def test_another_declaration_is_another_collection_and_embeds_nothing(place: Workplace, store: str) -> None:
    place.common = ()
    plain = place.load(store).compiled
    with place.load(store) as app:
        assert {hit.file: hit.metadata for hit in app.retrieve("rocks")}["rocks.txt"] == {
            "subject": "geology",
            "year": 1999,
            "author": "Hutton",
        }
    declared = place.load(store, "doc_fields.year=int")
    outlook = declared.plan()
    assert outlook.collection != plain.collection
    assert outlook.embed == 0
    assert [group.reasons for group in outlook.groups] == [("doc_fields.year changed",)]
    with declared as app:
        assert app.corpus.embedded == 0
        assert [hit.file for hit in app.retrieve("rocks", filters={"year": {"<": 2000}})] == ["rocks.txt"]
    filtered = place.load(
        store, "corpus.metadata.a.values.x=1", "filters.file=rocks.txt", "retrievers.chunk.filters.file=y"
    )
    assert filtered.compiled.collection == plain.collection


def test_one_file_as_the_corpus_has_its_sidecar_too(place: Workplace) -> None:
    with place.load("map", f"corpus.path='{place.docs}/rocks.txt'") as app:
        (hit,) = app.retrieve("rocks", filters={"year": 1999})
        assert hit.file == "rocks.txt"
