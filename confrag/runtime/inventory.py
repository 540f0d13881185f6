"""The corpus of a plan beside what is stored of it: what is to do, told without opening the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from confrag.errors import UserError
from confrag.plan.compile import store_of_rows
from confrag.plan.model import CorpusPlan, Plan, canonical
from confrag.registry.readers import EXTENSIONS
from confrag.runtime.corpus import Scan, scan
from confrag.runtime.fingerprints import recipes
from confrag.runtime.manifest import Manifest
from confrag.runtime.overlay import Entry, Overlay
from confrag.runtime.places import own_place, owned
from confrag.runtime.siblings import adopt, identity, manifest_in, nearest_sibling
from confrag.runtime.work import Work, build_all, find_work

__all__ = ["Inventory", "Overview", "find_files"]


def find_files(corpus: CorpusPlan, overlay: Overlay | None, *, may_be_empty: bool = False) -> Scan:
    """The files of a corpus; nothing is read yet.

    Args:
        corpus: where they are.
        overlay: what was changed of it at run time; None: that does not count.
        may_be_empty: it is no error when there is none. A corpus of which something was changed may be, too.

    Raises:
        UserError: the corpus does not exist or is empty; with ``corpus.on_error=fail``, something in it that no
            reader takes.
    """
    known = {*EXTENSIONS, *corpus.readers}
    may_be_empty = may_be_empty or bool(overlay and overlay.entries())
    found = scan(corpus.paths, corpus.include, corpus.exclude, known, corpus.metadata, may_be_empty=may_be_empty)
    if overlay:
        found = overlay.apply(found)
    if found.skipped and corpus.on_error == "fail":
        raise UserError(f"{found.skipped[0].name}: {found.skipped[0].reason} (corpus.on_error=fail)")
    return found


class Overview(NamedTuple):
    """A corpus beside what is stored of it.

    Attributes:
        found: the files, as they are with what was changed at run time.
        work: what is to do.
        said: metadata of the stored files, by name, before what was edited at run time.
        changes: what was changed at run time, by name.
    """

    found: Scan
    work: Work
    said: Mapping[str, Mapping[str, Any]]
    changes: Mapping[str, Entry]


class Inventory:
    """Compares a corpus with a collection of its rows. Every method raises UserError for a corpus that cannot be used.

    Attributes:
        recipes: of the plan's node groups.
        store: what of the store's configuration rows depend on, as the manifest notes it.

    Args:
        plan: what is stored, and where.
        overlay: what was changed of the corpus at run time.
        directory: of the collection.
        places: files and folders that its store has elsewhere.
        looking: gives the collection's manifest, None when it has none.
        may_be_empty: it is no error when the corpus has no document.
    """

    def __init__(
        self,
        plan: Plan,
        overlay: Overlay,
        directory: Path,
        places: list[Path],
        looking: Callable[[], AbstractContextManager[Manifest | None]],
        *,
        may_be_empty: bool,
    ) -> None:
        self.recipes = recipes(plan)
        self.store = canonical(store_of_rows(plan.store))
        self._plan = plan
        self._overlay = overlay
        self._directory = directory
        self._places = places
        self._looking = looking
        self._may_be_empty = may_be_empty

    def find(self) -> Scan:
        """The files of the corpus, with what was changed at run time."""
        return find_files(self._plan.corpus, self._overlay, may_be_empty=self._may_be_empty)

    def in_corpus(self) -> Scan:
        """The files that the configuration names, whatever was changed at run time."""
        return find_files(self._plan.corpus, None, may_be_empty=True)

    def overview(self) -> Overview:
        """All of it; nothing is opened but the manifest."""
        found = self.find()
        work = self.work(found)
        with self._looking() as manifest:
            return Overview(found, work, manifest.said() if manifest else {}, self._overlay.entries())

    def work(self, found: Scan, again: Sequence[str] = (), *, begin: bool = False) -> Work:
        """What is to do.

        Args:
            found: the files of the corpus.
            again: names of files that are to be read in any case.
            begin: it will be done now. That needs the lock: a new collection may start as a copy of another one.
        """
        if not owned(self._directory, self._places):
            return build_all(found, self.recipes, "nothing is stored yet", {})
        if not self._directory.exists() and not own_place(self._plan):
            return self._of_new(found, begin=begin)
        try:
            with self._looking() as manifest:
                if manifest is None:
                    return build_all(found, self.recipes, "nothing is stored yet", {})
                if manifest.get("store") != self.store:
                    return build_all(found, self.recipes, "store_conf changed", {})
                return find_work(found, manifest, self.recipes, again)
        except sqlite3.Error as error:
            return build_all(found, self.recipes, f"the manifest cannot be read ({error})", {})

    def _of_new(self, found: Scan, *, begin: bool) -> Work:
        sibling = nearest_sibling(self._directory, self.recipes, identity(self._plan))
        if sibling is None:
            return build_all(found, self.recipes, "nothing is stored yet", {})
        copied = bool(sibling.shared) and (not begin or adopt(sibling, self._directory))
        with manifest_in(sibling.directory) as manifest:
            if manifest and copied:
                return find_work(found, manifest, self.recipes)
            stored = manifest.groups() if manifest else {}
            return build_all(found, self.recipes, "nothing is stored yet in this configuration", stored)
