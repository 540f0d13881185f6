"""Collections of the same documents in the same kind of store, beside each other below one `state_dir`.

They differ in how some node groups are made. A new one begins as a copy of the one that has most in common with it,
so that only the groups that differ are built.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confrag.build.private.nodes import ROOT_GROUP
from confrag.errors import UserError
from confrag.plan.compile import corpus_paths, store_of_rows
from confrag.plan.model import Plan, canonical
from confrag.runtime.fingerprints import GroupRecipe
from confrag.runtime.lock import Lock
from confrag.runtime.manifest import UNFINISHED, Manifest

__all__ = ["MANIFEST", "Sibling", "adopt", "identity", "manifest_in", "nearest_sibling"]

MANIFEST = "manifest.sqlite3"


def identity(plan: Plan) -> str:
    """What two collections must have in common for one to begin as a copy of the other, as JSON."""
    return canonical({"store": store_of_rows(plan.store), "corpus": corpus_paths(plan.corpus)})


@contextmanager
def manifest_in(directory: Path) -> Iterator[Manifest | None]:
    """The manifest of a collection; None when there is none.

    Raises:
        UserError: it was written by a newer confrag.
        sqlite3.Error: it cannot be read.
    """
    if not (directory / MANIFEST).exists():
        yield None
        return
    manifest = Manifest(directory / MANIFEST, create=False)
    try:
        yield manifest
    finally:
        manifest.close()


@dataclass(frozen=True, slots=True)
class Sibling:
    """A collection that another one can begin as a copy of, or at least be compared with.

    Attributes:
        shared: how many node groups are made alike in both, whole documents not counted.
    """

    directory: Path
    shared: int


def nearest_sibling(directory: Path, wanted: Mapping[str, GroupRecipe], identity: str) -> Sibling | None:
    """The collection beside `directory` that shares most node groups with it, the latest of several.

    Args:
        directory: of the new collection.
        wanted: its recipes.
        identity: what it is, see `identity`.
    """
    ranked = []
    for path in directory.parent.glob(f"*/{MANIFEST}"):
        if path.parent == directory or path.parent.suffix:
            continue  # with a suffix: a copy that was cut short
        try:
            with manifest_in(path.parent) as manifest:
                if manifest and manifest.get("identity") == identity and not manifest.get(UNFINISHED):
                    ranked.append((_shared(manifest, wanted), path.stat().st_mtime_ns, path.parent))
        except (UserError, sqlite3.Error, OSError):
            continue  # a collection with troubles of its own is no help to another
    if not ranked:
        return None
    shared, _, nearest = max(ranked)
    return Sibling(nearest, shared)


def _shared(manifest: Manifest, wanted: Mapping[str, GroupRecipe]) -> int:
    stored = manifest.groups()
    return sum(
        name in stored and stored[name].fingerprint == recipe.fingerprint
        for name, recipe in wanted.items()
        if name != ROOT_GROUP  # whole documents are read again anyhow
    )


def adopt(sibling: Sibling, directory: Path) -> bool:
    """Begin a collection as a copy of another one; False when that is in use, or cannot be copied.

    A process that is killed meanwhile leaves a folder that nobody takes for a collection.
    """
    lock = Lock([sibling.directory], timeout_s=0, waiting=lambda text: None, alone="")
    unfinished = directory.with_name(f"{directory.name}.copy")
    try:
        lock.acquire()
        with manifest_in(sibling.directory) as manifest:
            if manifest is None or manifest.get(UNFINISHED):
                return False
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(sibling.directory, unfinished)
        unfinished.rename(directory)
    except (UserError, OSError, sqlite3.Error):
        shutil.rmtree(unfinished, ignore_errors=True)
        return False
    finally:
        lock.release()
    return True
