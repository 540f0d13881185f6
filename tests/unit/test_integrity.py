"""Files of embedded stores, looked at before they are opened."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from confrag.build.stores.integrity import seal, torn


@pytest.fixture
def conf(tmp_path: Path) -> dict[str, Any]:
    return {"vector_store": {"type": "confrag_chroma", "kwargs": {"dir": str(tmp_path / "chroma")}}}


def index(conf: dict[str, Any], held: int, names: bytes | None) -> Path:
    """The files of an HNSW index of Chroma's, as far as they matter."""
    folder = Path(conf["vector_store"]["kwargs"]["dir"]) / "3f0c"
    folder.mkdir(parents=True)
    (folder / "header.bin").write_bytes(bytes(20) + struct.pack("<Q", held) + bytes(72))
    if names is not None:
        (folder / "index_metadata.pickle").write_bytes(names)
    return folder


def listed(count: int) -> bytes:
    return pickle.dumps({"total_elements_added": count, "id_to_label": {}})


@pytest.mark.parametrize(("held", "names"), [(0, None), (150, listed(150))], ids=["nothing written yet", "written"])
def test_an_index_that_is_whole(conf: dict[str, Any], held: int, names: bytes | None) -> None:
    index(conf, held, names)
    assert torn(conf) is None


@pytest.mark.parametrize(
    ("held", "names"),
    [(150, None), (150, b""), (150, listed(150)[:9]), (250, listed(150)), (150, listed(250)), (150, pickle.dumps([]))],
    ids=["no names", "empty", "cut", "header ahead", "names ahead", "something else"],
)
def test_an_index_that_was_being_written(conf: dict[str, Any], held: int, names: bytes | None) -> None:
    folder = index(conf, held, names)
    assert torn(conf) == f"the index in {folder} was being written when its process ended"


def test_a_header_that_was_cut(conf: dict[str, Any]) -> None:
    folder = index(conf, 150, listed(150))
    (folder / "header.bin").write_bytes(b"\0" * 21)
    assert torn(conf) is not None


def test_a_list_of_names_runs_no_code(conf: dict[str, Any], tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    index(conf, 1, pickle.dumps({"total_elements_added": 1, "harm": Harm()}))
    assert torn(conf) is not None
    assert not (tmp_path / "harm").exists()


def test_a_seal_changes_with_names_and_sizes_and_not_with_times(conf: dict[str, Any]) -> None:
    assert seal(conf) == "{}"
    folder = index(conf, 1, listed(1))
    first = seal(conf)
    os.utime(folder / "header.bin", (1, 1))
    assert seal(conf) == first
    (folder / "header.bin").write_bytes(b"")
    assert seal(conf) != first


def test_milvus_lite_is_sealed_without_its_lock_and_servers_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "milvus.db"
    (folder / "collections").mkdir(parents=True)
    (folder / "LOCK").write_text("")
    (folder / "collections" / "manifest.json").write_text("{}")
    conf = {"vector_store": {"type": "confrag_milvus", "kwargs": {"uri": str(folder)}}}
    assert seal(conf) == '{"collections/manifest.json": 2}'
    remote = {
        "vector_store": {"type": "confrag_milvus", "kwargs": {"uri": "http://127.0.0.1:19530", "server": {"a": 1}}}
    }
    assert seal(remote) == "{}"
    assert torn(remote) is None
    assert seal({"type": "confrag_map", "kwargs": {"uri": str(tmp_path / "map.db")}}) == "{}"
