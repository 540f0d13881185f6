"""The documents of a corpus: listed, added, described in another way, taken out, while the engine runs or not."""

from __future__ import annotations

import builtins
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import IO, Any

from confrag.build.nodes import document_id
from confrag.build.readers.section import UnreadableFileError
from confrag.errors import NotFoundError, UserError
from confrag.plan.model import Plan
from confrag.registry.readers import EXTENSIONS
from confrag.runtime.background import Doing
from confrag.runtime.collection import Collection
from confrag.runtime.described import added_to, checked, edited, edits_to, without
from confrag.runtime.inventory import Overview
from confrag.runtime.listing import DocumentInfo, listed, said_by
from confrag.runtime.overlay import Edits, Entry, Overlay, check_name
from confrag.runtime.pairs import Changed, Pairs, stored_nodes

__all__ = ["DocumentInfo", "Documents", "Passage"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A node of a document; `number` counts from 1 in the order of the text."""

    id: str
    number: int
    text: str


class Documents:
    """The documents of an engine. Safe for threads.

    Every change is safe on disk when a call returns, or nothing is changed. Where the engine runs, it is ingested in
    the background, and answers come from the old state until then; with ``wait=True`` a call returns after that. Where
    it does not, the next start or ingest does it. The user's own folders are never written to: what is added lies
    below `state_dir`, and a document of the corpus that is deleted stays where it is and is passed over.

    Attributes:
        pairs: the questions with their answers that a model has written about them.

    Args:
        plan: of the engine.
        overlay: the changes.
        collection: gives the collection.
        changed: see `Changed`.
        doing: what the ingest in the background is at, and the names of the files that it is working on.
    """

    def __init__(
        self,
        plan: Plan,
        overlay: Overlay,
        collection: Callable[[], Collection],
        changed: Changed,
        doing: Callable[[], tuple[Doing, frozenset[str]]],
    ) -> None:
        self._plan = plan
        self._overlay = overlay
        self._collection = collection
        self._changed = changed
        self._doing = doing
        self._guard = threading.RLock()
        self.pairs = Pairs(plan, overlay, self._open, changed, self._guard)
        self._types = dict(plan.corpus.doc_fields)

    @property
    def directory(self) -> Path:
        """Where what was changed lies; it is there once something was."""
        return self._overlay.directory

    @property
    def doing(self) -> Doing:
        """What the ingest in the background is at."""
        return self._doing()[0]

    @property
    def extensions(self) -> frozenset[str]:
        """File extensions that can be read, lower case, without a dot."""
        return frozenset(e.lower().removeprefix(".") for e in (*EXTENSIONS, *self._plan.corpus.readers))

    @property
    def groups(self) -> tuple[str, ...]:
        """The node groups, parents before children."""
        return tuple(group.name for group in self._plan.groups)

    def list(self) -> builtins.list[DocumentInfo]:
        """Every document, by name; those that cannot be read, and those that are on their way out, among them.

        Raises:
            UserError: a corpus that cannot be used.
        """
        return self._listed(self._overview())

    def get(self, id: str) -> DocumentInfo:  # noqa: A002
        """One document. Raises NotFoundError when there is none of this id."""
        return self._chosen(id, self._overview())[0]

    def hidden(self) -> builtins.list[tuple[str, str]]:
        """(id, name) of the documents of the corpus that were taken out, by name."""
        entries = sorted(self._overlay.entries().values(), key=lambda entry: entry.name)
        return [(document_id(entry.name), entry.name) for entry in entries if entry.hidden and not entry.added]

    def add(
        self,
        source: str | Path | IO[bytes],
        name: str | None = None,
        *,
        override: bool = False,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> str:
        """Add a document.

        Args:
            source: a file, which is copied, or an open one.
            name: what it is to be called; left out: as the file.
            override: put it in the place of one of this name; else it gets a name of its own, ``name-1.md``.
            metadata: what is known of it; goes before what it says itself. One that is replaced keeps the others.
            wait: return when it can be found.

        Returns:
            Its id.

        Raises:
            UserError: a file that does not exist, a name or metadata that cannot be, a kind that cannot be read.
        """
        if isinstance(source, str | Path) and name is None:
            name = Path(source).name
        if name is None:
            raise UserError("an open file needs a name to be added")
        name, values = self.check(name, metadata or {})
        with self._guard, ExitStack() as stack:
            content = stack.enter_context(_opened(source)) if isinstance(source, str | Path) else source
            present = {file.name for file in self._collection().inventory.find().files}
            if not override:
                name = _free(name, present)
            before = self._overlay.edits(name) if name in present else Edits()
            edits = replace(before, set={**before.set, **values}, drop=tuple(k for k in before.drop if k not in values))
            self._overlay.add(name, content, edits)
        self._take_up([], wait)
        return document_id(name)

    def check(self, name: str, metadata: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The name and metadata of a document to be added, in their one form. Raises UserError as `add` does."""
        name = unicodedata.normalize("NFC", name)
        check_name(name, self.extensions)
        return name, checked(metadata, self._types)

    def places(self) -> dict[str, str]:
        """Real path -> name, of the files that the configuration names, those that were taken out among them."""
        return {str(file.path.resolve()): file.name for file in self._collection().inventory.in_corpus().files}

    def delete(self, ids: str | Sequence[str], *, wait: bool = True) -> builtins.list[str]:
        """Take documents out; returns their names.

        Raises:
            NotFoundError: an id that no document has; nothing is changed then.
        """
        with self._guard:
            chosen = self._chosen(ids, self._overview())
            corpus = self._collection().inventory.in_corpus()
            own = {file.name for file in corpus.files} | {skipped.name for skipped in corpus.skipped}
            for document in chosen:
                self._overlay.remove(document.name, document.name in own)
        self._take_up([], wait)
        return [document.name for document in chosen]

    def restore(self, ids: str | Sequence[str], *, wait: bool = True) -> builtins.list[str]:
        """Let documents of the corpus that were taken out be read again; returns their names.

        Raises:
            NotFoundError: an id that none of them has.
        """
        names = dict(self.hidden())
        wanted = _several(ids)
        for one in wanted:
            if one not in names:
                raise NotFoundError(f"no document with the id '{one}' was taken out of the corpus")
        for one in wanted:
            self._overlay.restore(names[one])
        self._take_up([], wait)
        return [names[one] for one in wanted]

    def reparse(self, ids: str | Sequence[str], *, wait: bool = True) -> builtins.list[str]:
        """Read documents anew, though they have not changed; returns their names.

        Raises:
            NotFoundError: an id that no document has.
        """
        names = [document.name for document in self._chosen(ids, self._overview())]
        self._take_up(names, wait)
        return names

    def metadata(self, id: str) -> dict[str, Any]:  # noqa: A002
        """What is known of a document; of one that cannot be read, what was edited.

        Raises:
            NotFoundError: there is none of this id.
        """
        overview = self._overview()
        (document,) = self._chosen(id, overview)
        try:
            said = said_by(document.name, overview, self._plan.corpus.readers)
        except UnreadableFileError:
            said = {}  # its status tells the reason; what was edited is known all the same
        return edited(said, self._edits(document.name, overview))

    def set_metadata(self, ids: str | Sequence[str], values: Mapping[str, Any], *, wait: bool = True) -> None:
        """Give values to metadata of documents, in the place of those that they have.

        Raises:
            NotFoundError: an id that no document has.
            UserError: a value that cannot be, or a document that cannot be read; nothing is changed then.
        """
        self._describe(ids, lambda known: {**known, **values}, wait)

    def add_metadata(self, ids: str | Sequence[str], values: Mapping[str, Any], *, wait: bool = True) -> None:
        """Add values to metadata; with a value that is there they make a list. Raises as `set_metadata`."""
        self._describe(ids, lambda known: added_to(known, values), wait)

    def delete_metadata(
        self,
        ids: str | Sequence[str],
        keys: Iterable[str] | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        wait: bool = True,
    ) -> None:
        """Take metadata away: those of these names, those that have these values, of a list these values; else all.

        Raises:
            NotFoundError: an id that no document has.
            UserError: a document that cannot be read; nothing is changed then.
        """
        everything = keys is None and not values
        gone = {**(values or {}), **dict.fromkeys(keys or ())}
        self._describe(ids, lambda known: {} if everything else without(known, gone), wait)

    def reset_metadata(self, ids: str | Sequence[str], values: Mapping[str, Any], *, wait: bool = True) -> None:
        """Give documents these metadata and no others. Raises as `set_metadata`."""
        self._describe(ids, lambda known: dict(values), wait)

    def passages(
        self,
        id: str,  # noqa: A002
        group: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[str, int, builtins.list[Passage]]:
        """Nodes of a document in the order of the text, as they are stored now.

        Args:
            id: of the document.
            group: a node group; left out: the first.
            offset: how many to pass over.
            limit: how many at most.

        Returns:
            The group, how many nodes the document has in it, and those that were asked for.

        Raises:
            NotFoundError: no such document or group.
            UserError: the engine is not started.
        """
        name = group or self.groups[0]
        if name not in self.groups:
            raise NotFoundError(f"there is no node group '{name}'; known: {', '.join(self.groups)}")
        total = stored_nodes(self._open(), name).get(id)
        if total is None:
            self.get(id)
            total = 0
        numbers = range(offset + 1, min(offset + limit, total) + 1)
        nodes = self._open().nodes_of(name, id, numbers)
        return name, total, [Passage(str(node.uid), int(node.number), str(node.text)) for node in nodes]

    def _describe(
        self, ids: str | Sequence[str], change: Callable[[dict[str, Any]], Mapping[str, Any]], wait: bool
    ) -> None:
        with self._guard:
            overview, changes = self._overview(), []
            for document in self._chosen(ids, overview):
                try:
                    said = said_by(document.name, overview, self._plan.corpus.readers)
                except UnreadableFileError as error:
                    raise UserError(
                        f"{document.name}: cannot be read ({error.reason}), so that the metadata of its own are not "
                        "known and cannot be edited; mend or replace it first"
                    ) from None
                changes.append(
                    (document.name, edits_to(said, self._edits(document.name, overview), change, self._types))
                )
            for name, edits in changes:
                self._overlay.edit(name, edits)
        self._take_up([], wait)

    def _overview(self) -> Overview:
        return self._collection().inventory.overview()

    def _listed(self, overview: Overview) -> builtins.list[DocumentInfo]:
        return listed(overview, *self._doing())

    def _edits(self, name: str, overview: Overview) -> Edits:
        return overview.changes.get(name, Entry(name)).edits

    def _chosen(self, ids: str | Sequence[str], overview: Overview) -> builtins.list[DocumentInfo]:
        known = {document.id: document for document in self._listed(overview) if document.status != "deleting"}
        wanted = _several(ids)
        for one in wanted:
            if one not in known:
                raise NotFoundError(f"there is no document with the id '{one}'")
        return [known[one] for one in wanted]

    def _open(self) -> Collection:
        collection = self._collection()
        if not collection.is_open:
            raise UserError("the engine is not started; use `with app:` or call app.start()")
        return collection

    def _take_up(self, again: Sequence[str], wait: bool) -> None:
        done = self._changed(again)
        if wait:
            done()


def _several(ids: str | Sequence[str]) -> builtins.list[str]:
    return [ids] if isinstance(ids, str) else builtins.list(dict.fromkeys(ids))


def _opened(path: str | Path) -> IO[bytes]:
    try:
        return Path(path).expanduser().open("rb")
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; add its files, or name it in corpus.path") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first of ``name-1.md``, ``name-2.md``, ... that no document has."""
    if name not in taken:
        return name
    stem, dot, ending = name.rpartition(".")
    return next(new for number in count(1) if (new := f"{stem}-{number}{dot}{ending}") not in taken)
