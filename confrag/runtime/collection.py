"""Where a collection lies on disk, and whose it is.

The store of a collection is built anew at each start. Below `state_dir` everything is confrag's; at a place that the
user named, only what carries a marker beside it was made by confrag and may be replaced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from confrag.errors import UserError

__all__ = ["claim", "collection_dir", "locked"]

_MARKER = ".confrag"


def collection_dir(state_dir: str, collection: str) -> Path:
    """The folder of a collection."""
    return Path(state_dir).expanduser().absolute() / "collections" / collection


@contextmanager
def locked(directory: Path, store_conf: Mapping[str, Any], timeout_s: float = 60.0) -> Iterator[None]:
    """Hold a collection, and the places that its user named, for this process.

    Raises:
        UserError: another process holds it; its process id is named. Or the folder cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"state_dir: cannot create {directory.parent}: {error.strerror}") from None
    with ExitStack() as stack:
        for target in [directory, *_named_places(store_conf, directory)]:
            stack.enter_context(_hold(target, timeout_s))
        yield


@contextmanager
def _hold(target: Path, timeout_s: float) -> Iterator[None]:
    lock_file = target.with_name(f"{target.name}.lock")
    owner_file = target.with_name(f"{target.name}.owner")
    lock = FileLock(lock_file)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout_s, poll_interval=0.1)
    except Timeout:
        owner = owner_file.read_text() if owner_file.exists() else "unknown"
        raise UserError(
            f"{target} is in use by another process (pid {owner}); it is released when that process ends. "
            "Wait for it, or use another state_dir"
        ) from None
    except OSError as error:
        raise UserError(f"{target.parent}: cannot be written: {error.strerror or error}") from None
    try:
        owner_file.write_text(str(os.getpid()))
        yield
    finally:
        owner_file.unlink(missing_ok=True)
        lock.release()


def claim(directory: Path, store_conf: Mapping[str, Any]) -> None:
    """Clear the ground for a new store.

    Raises:
        UserError: at a place that the user named lies something that confrag did not make.
    """
    places = _named_places(store_conf, directory)
    for place in places:
        occupied = place.exists() and not (place.is_dir() and not any(place.iterdir()))
        if occupied and not _marker(place).exists():
            raise UserError(
                f"store_conf: {place} exists and was not made by confrag, so it is left alone. "
                "Name another place, or move it away"
            )
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        # The marker comes first: a store without one would be taken for the user's own.
        _marker(place).write_text("made by confrag; the store beside this file is rebuilt from the corpus\n")
        _remove(place)
    _remove(directory)
    directory.mkdir(parents=True)


def _marker(place: Path) -> Path:
    return place.with_name(place.name + _MARKER)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        for path in [place, *(place.with_name(place.name + end) for end in ("-wal", "-shm", "-journal"))]:
            path.unlink(missing_ok=True)


def _named_places(conf: Any, directory: Path) -> list[Path]:
    """Paths in a store_conf that lie outside the collection's own folder."""
    found: dict[Path, None] = {}
    for key, value in conf.items() if isinstance(conf, Mapping) else ():
        if isinstance(value, Mapping):
            found.update(dict.fromkeys(_named_places(value, directory)))
        elif key in ("uri", "dir") and isinstance(value, str | Path) and "://" not in str(value):
            path = Path(value).expanduser().absolute()
            if directory not in path.parents:
                found[path] = None
    return list(found)
