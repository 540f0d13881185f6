"""Whether the files of an embedded store are whole: told before it is opened, since opening a damaged one can do harm.

SQLite's files are left out: they check themselves, and their sizes change when a reader closes them.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["seal", "torn"]

_HEADER = "header.bin"


def seal(conf: Mapping[str, Any]) -> str:
    """Names and sizes of the files that change only when rows are written, as JSON; to be taken of a closed store.

    Args:
        conf: LazyLLM's store_conf, as our stores make it.
    """
    sizes = {}
    for folder, path in _files(conf):
        sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return json.dumps(sizes, sort_keys=True)


def torn(conf: Mapping[str, Any]) -> str | None:
    """What a process that was killed has left half written; None: nothing.

    Chroma writes the files of its HNSW index in place, one after the other. When they do not belong together, opening
    it can fail, search wrongly, or fill the disk.
    """
    for folder, path in _files(conf):
        if path.name == _HEADER and folder in path.parents and not _whole(path):
            return f"the index in {path.parent} was being written when its process ended"
    return None


def _files(conf: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
    vectors = conf.get("vector_store") or {}
    kwargs = vectors.get("kwargs") or {}
    if kwargs.get("server"):
        return
    if vectors.get("type") == "confrag_milvus":
        folder = Path(kwargs["uri"])
        yield from ((folder, path) for path in folder.rglob("*") if path.is_file() and path.name != "LOCK")
    elif vectors.get("type") == "confrag_chroma":
        folder = Path(kwargs["dir"])
        for header in folder.glob(f"*/{_HEADER}"):
            yield from ((folder, path) for path in header.parent.iterdir())


def _whole(header: Path) -> bool:
    """Whether the index has as many elements as the list of their names; both come with the first rows written out."""
    names = header.parent / "index_metadata.pickle"
    try:
        (held,) = struct.unpack_from("<Q", header.read_bytes(), 20)
        if not names.exists():
            return bool(held == 0)
        with names.open("rb") as file:
            return bool(held == _PlainUnpickler(file).load()["total_elements_added"])
    except Exception:  # noqa: BLE001  (whatever a cut file makes of itself)
        return False


class _PlainUnpickler(pickle.Unpickler):
    """Of dictionaries, lists, numbers and texts; a pickle can run any code otherwise."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place here")
