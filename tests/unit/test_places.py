"""Where a collection lies, and whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from confrag.errors import UserError
from confrag.plan import Plan
from tests.engine import Workplace

from confrag.runtime.places import claim, collection_dir, named_places, own_place, owned  # isort: skip


def plan(place: Workplace, preset: str, *overrides: str) -> Plan:
    import confrag

    own = [f"corpus.path='{place.docs}'", f"state_dir='{place.state}'", "recall=lexical", "llm=extractive"]
    return confrag.load(preset, [*own, *overrides]).compiled


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "work")


def test_below_the_state_by_what_determines_the_rows(place: Workplace) -> None:
    folders = {
        collection_dir(plan(place, *arguments)).name
        for arguments in (("map",), ("chroma",), ("milvus_flat",), ("map", "corpus.readers={txt: html}"))
    }
    assert len(folders) == 4
    one = plan(place, "map")
    assert collection_dir(one) == place.state / "collections" / one.collection
    assert collection_dir(plan(place, "map", "retrievers.lexical.topk=2")) == collection_dir(one)
    assert not own_place(one)


def test_a_named_place_is_one_whatever_it_holds(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"store_conf.kwargs.uri={place.root}/own.db"
    one = plan(place, "map", uri)
    assert own_place(one)
    assert collection_dir(plan(place, "map", uri, "corpus.readers={txt: html}")) == collection_dir(one)
    assert collection_dir(plan(place, "map", f"store_conf.kwargs.uri={place.root}/other.db")) != collection_dir(one)
    monkeypatch.chdir(place.root)
    assert collection_dir(plan(place, "map", "store_conf.kwargs.uri=own.db")) == collection_dir(one)


def test_a_server_has_collections_of_several_corpora(place: Workplace, tmp_path: Path) -> None:
    one = plan(place, "milvus_remote")
    assert own_place(one)
    other = Workplace(tmp_path / "other")
    assert collection_dir(plan(other, "milvus_remote")).name != collection_dir(one).name
    assert collection_dir(plan(place, "milvus_remote", "+store_conf.kwargs.db_name=b")) != collection_dir(one)


def test_the_users_places_in_a_store_conf(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "abc"
    conf = {
        "segment_store": {"type": "t", "kwargs": {"uri": str(tmp_path / "own" / "segments.db")}},
        "vector_store": {"type": "c", "kwargs": {"dir": str(tmp_path / "own"), "segments": str(directory / "x.db")}},
    }
    # What lies in another place of the user's, or in the collection's folder, goes with that.
    assert named_places(conf, directory) == [tmp_path / "own"]
    conf["vector_store"]["kwargs"]["dir"] = "http://127.0.0.1:8000"
    assert named_places(conf, directory) == [tmp_path / "own" / "segments.db"]


def test_a_claim_clears_only_what_is_ours(tmp_path: Path) -> None:
    directory, file, folder = tmp_path / "state" / "abc", tmp_path / "a" / "own.db", tmp_path / "b" / "own"
    places = [file, folder]
    assert not owned(directory, places)
    claim(directory, places)
    assert owned(directory, places)
    assert list(directory.iterdir()) == []
    file.write_text("rows")
    (file.parent / "own.db-wal").write_text("more rows")
    (file.parent / "beside.txt").write_text("precious")
    folder.mkdir()
    (folder / "chroma.sqlite3").write_text("rows")
    (directory / "manifest.sqlite3").write_text("what rows")
    claim(directory, places)
    assert sorted(path.name for path in file.parent.iterdir()) == ["beside.txt", "own.db.confrag"]
    assert [path.name for path in folder.parent.iterdir()] == ["own.confrag"]
    assert list(directory.iterdir()) == []
    assert not owned(tmp_path / "state" / "other", places)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_claim_leaves_what_is_not_ours(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "own.db"
    if kind == "file":
        place.write_text("precious")
    else:
        place.mkdir()
        (place / "data").write_text("precious")
    with pytest.raises(UserError) as caught:
        claim(tmp_path / "state" / "abc", [tmp_path / "first.db", place])
    assert str(caught.value) == (
        f"store_conf: {place} exists and was not made by confrag, so it is left alone. "
        "Name another place, or move it away"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["own.db"]


def test_an_empty_folder_may_be_taken(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    claim(tmp_path / "state" / "abc", [tmp_path / "own"])
    assert not (tmp_path / "own").exists()


def test_a_marker_that_says_nothing(tmp_path: Path) -> None:
    for content in (b"", b"one line", b"\xff\xfe\n\xff"):
        (tmp_path / "own.confrag").write_bytes(content)
        assert not owned(tmp_path / "abc", [tmp_path / "own"])
    (tmp_path / "own").write_text("ours all the same: it has a marker")
    claim(tmp_path / "state" / "abc", [tmp_path / "own"])


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "data").write_text("precious")
    place = tmp_path / "own"
    claim(tmp_path / "state" / "abc", [place])
    place.symlink_to(tmp_path / "real")
    claim(tmp_path / "state" / "abc", [place])
    assert (tmp_path / "real" / "data").read_text() == "precious"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"^{tmp_path}/file: cannot be written: File exists$"):
        claim(tmp_path / "state" / "abc", [tmp_path / "file" / "own.db"])
