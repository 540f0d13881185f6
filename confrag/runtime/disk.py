"""A full disk, said where a store only says that it failed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confrag.errors import StoreError

__all__ = ["is_full", "telling_of_a_full_disk"]

_FULL_BYTES = 2**20


def is_full(*places: Path) -> bool:
    """Whether there is no room where one of these is, or would be."""
    for place in places:
        existing = next(path for path in (place, *place.parents) if path.exists())
        if shutil.disk_usage(existing).free < _FULL_BYTES:
            return True
    return False


@contextmanager
def telling_of_a_full_disk(*places: Path) -> Iterator[None]:
    """Turn what goes wrong while these are written into a `StoreError`; one that names a full disk, if it is full."""
    try:
        yield
    except (StoreError, sqlite3.Error, OSError) as error:
        reason = str(error) if isinstance(error, StoreError) else f"{places[0]}: {error}"
        if is_full(*places):
            reason += ". The disk is full: make room, and start again; nothing is lost"
        raise StoreError(reason) from error
