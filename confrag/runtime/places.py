"""Where a collection lies on disk, and whose it is.

Below `state_dir` everything is confrag's. At a place that the user named, only what carries a marker beside it was
made by confrag and may be replaced; the marker says which collection it belongs to.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from confrag.errors import UserError
from confrag.plan.model import Plan, canonical

__all__ = ["belongs_to_one_process", "claim", "collection_dir", "named_places", "own_place", "owned"]

_MARKER = ".confrag"
_KEYS = ("uri", "dir", "segments")
_SHARED = ("confrag_map", "confrag_segments", "confrag_chroma")
"""Stores whose files several processes may have open."""
_COMPANIONS = ("-wal", "-shm", "-journal")


def collection_dir(plan: Plan) -> Path:
    """The folder of a collection: its manifest, and what the user did not place elsewhere.

    It is named by what determines the rows, so that configurations with other rows keep theirs beside each other. A
    store at a place of the user's own is one and the same whatever it holds.
    """
    return _folder(plan.state_dir) / (_place_id(plan) or plan.collection)


def own_place(plan: Plan) -> bool:
    """Whether the user named the place of the store, on disk or on a server."""
    return _place_id(plan) is not None


def _folder(state_dir: str) -> Path:
    return Path(state_dir).expanduser().absolute() / "collections"


def _place_id(plan: Plan) -> str | None:
    named = {key: str(plan.store.params[key]) for key in _KEYS if plan.store.params.get(key)}
    if not named:
        return None
    places = {key: _absolute(value) for key, value in named.items()}
    parts: list[Any] = [places]
    if any("://" in place for place in places.values()):
        # A server has many collections, of several users.
        corpus = [_absolute(path) for path in plan.corpus.paths]
        parts += [plan.store.params.get("db_name"), str(_folder(plan.state_dir)), corpus]
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:12]


def _absolute(path: str) -> str:
    path = path.removeprefix("file://")
    return path if "://" in path else str(Path(path).expanduser().absolute())


def named_places(conf: Mapping[str, Any], directory: Path) -> list[Path]:
    """Paths in LazyLLM's store_conf that lie outside the collection's own folder, and outside each other."""
    paths = list(dict.fromkeys(_paths(conf)))
    return [path for path in paths if not {directory, *paths} & set(path.parents)]


def _paths(conf: Mapping[str, Any]) -> Iterator[Path]:
    for key, value in conf.items():
        if isinstance(value, Mapping):
            yield from _paths(value)
        elif key in _KEYS and isinstance(value, str | Path) and "://" not in str(value):
            yield Path(value).expanduser().absolute()


def owned(directory: Path, places: list[Path]) -> bool:
    """Whether all that lies at the user's places was written by this collection."""
    return all(_owner(place) == str(directory) for place in places)


def claim(directory: Path, places: list[Path]) -> None:
    """Clear the ground for a new store.

    Raises:
        UserError: at a place that the user named lies something that confrag did not make, or nothing can be written.
    """
    for place in places:
        occupied = place.exists() and not (place.is_dir() and not any(place.iterdir()))
        if occupied and not _marker(place).exists():
            raise UserError(
                f"store_conf: {place} exists and was not made by confrag, so it is left alone. "
                "Name another place, or move it away"
            )
    try:
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            # The marker comes first: a store without one would be taken for the user's own.
            _marker(place).write_text(f"made by confrag; the store beside this file belongs to\n{directory}\n", "utf-8")
            _remove(place)
        _remove(directory)
        directory.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{error.filename or directory}: cannot be written: {error.strerror or error}") from None


def _marker(place: Path) -> Path:
    return place.with_name(place.name + _MARKER)


def _owner(place: Path) -> str | None:
    try:
        return _marker(place).read_text("utf-8").splitlines()[1]
    except (OSError, UnicodeDecodeError, IndexError):
        return None


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        for path in [place, *(place.with_name(place.name + end) for end in _COMPANIONS)]:
            path.unlink(missing_ok=True)


def belongs_to_one_process(conf: Mapping[str, Any]) -> str:
    """Why nobody else can have the store open; empty when others can."""
    for part in (conf, conf.get("segment_store"), conf.get("vector_store")):
        kind, kwargs = (part.get("type"), part.get("kwargs") or {}) if part else (None, {})
        if kind is None or kind in _SHARED or "://" in str(kwargs.get("uri")):
            continue
        if kind == "confrag_milvus":
            return "Milvus Lite's files belong to one process at a time; a Milvus server has no such limit"
        return f"The files of a store of type '{kind}' are taken to belong to one process at a time"
    return ""
