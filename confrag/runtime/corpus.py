"""Which files a corpus consists of: the file system walked once, without reading any file.

The rules. Folders are read with their sub-folders. Names that begin with a dot, and the lock files of office programs
(``~$...``), are passed over, as are Python's own files in a ``pkg://`` corpus; a path that the configuration names
itself is always taken. Symbolic links to files and folders are followed, out of the folder too, and every real file
counts once, under its real name where it has one in the corpus. The order is that of the names. A file beside a
document that ends in ``.meta.yaml``, ``.meta.yml`` or ``.meta.json`` describes it and is no document.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import os
import pkgutil
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from confrag.errors import UserError, nearest
from confrag.plan.model import Params
from confrag.registry.readers import extension_of

__all__ = ["Scan", "Skipped", "SourceFile", "given_to", "is_sidecar", "scan"]

_PACKAGE = "pkg://"
_HIDDEN = (".", "~$")
_PACKAGE_ONLY = frozenset({"__init__.py", "__pycache__"})
_SHOWN = 5
_EVERYTHING = ("**", "*")
_SIDECAR = re.compile(r"(.+)\.meta\.(?:yaml|yml|json)")
_SIDECARS = (".meta.yaml", ".meta.yml", ".meta.json")
_NOTHING = Params()


class SourceFile(NamedTuple):
    """A document of the corpus.

    Attributes:
        location: where it is, absolute.
        name: what it is called, unique in the corpus: its path below the corpus folder, with forward slashes. Where
            the corpus has several paths, below the folder that all of them have in common.
        sidecar: a file beside it with its metadata, ``NAME.EXT.meta.yaml``, ``.yml`` or ``.json``; empty: none.
        given: metadata that the configuration gives.
        edits: what was said of it at run time, see `confrag.runtime.overlay`.
    """

    location: str
    name: str
    sidecar: str = ""
    given: Params = _NOTHING
    edits: Params = _NOTHING

    @property
    def said(self) -> Params:
        """All that is said of it outside itself and the file beside it."""
        return Params({"given": self.given, "edits": self.edits}) if self.edits else self.given

    @property
    def path(self) -> Path:
        """The location as a path."""
        return Path(self.location)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in the corpus that matches the globs and is not read; `reason` says why, in a few words."""

    path: Path
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What is in a corpus, both sorted by name."""

    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]


def scan(
    paths: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    known: Collection[str],
    metadata: Sequence[tuple[str, Mapping[str, Any]]] = (),
    *,
    may_be_empty: bool = False,
) -> Scan:
    """Find the documents of a corpus.

    Args:
        paths: files and folders, relative to the working directory, or ``pkg://package`` (``pkg://package/folder``).
        include: globs against a file's name, of which it must match one. ``*``, ``?`` and ``[a-z]`` stay within one
            part of the name, ``**`` stands for any number of parts, none included: ``**/x`` finds ``x`` at the top
            too. A glob of one part matches at any depth: ``*.md``, ``drafts/``. A final slash means all that is
            below. Case matters.
        exclude: globs of what is left out; a folder that matches is not entered.
        known: the extensions that can be read (``md`` or ``.md``).
        metadata: globs, with what is known of the files that match; of several values, the last counts.
        may_be_empty: it is no error when there is nothing to read.

    Raises:
        UserError: a path does not exist, a folder cannot be opened, or there is nothing to read.
    """
    walk = _Walk(include, exclude, known, metadata)
    for place in _places([_root(value) for value in paths]):
        walk.enter(place)
    walk.follow_links()
    files = tuple(sorted(walk.files, key=lambda file: file.name))
    skipped = tuple(sorted(walk.skipped, key=lambda entry: entry.name))
    if not files and not may_be_empty:
        raise UserError(_nothing_found(paths, include, exclude, known, skipped))
    return Scan(files, skipped)


def is_sidecar(name: str) -> bool:
    """Whether a file of this name describes the one beside it."""
    return _SIDECAR.fullmatch(name) is not None


def given_to(name: str, metadata: Sequence[tuple[str, Mapping[str, Any]]]) -> Params:
    """The metadata that globs give to a file of this name; of several values, the last counts."""
    return _given(name, [(_glob(glob), values) for glob, values in metadata])


def _given(name: str, metadata: Sequence[tuple[Sequence[str], Mapping[str, Any]]]) -> Params:
    if not metadata:
        return _NOTHING
    parts = name.split("/")
    return Params({k: v for glob, values in metadata if _matches(parts, glob) for k, v in values.items()})


class _Place(NamedTuple):
    """A file or folder on the walk; the name of the folder that names are relative to is empty.

    Paths are strings: a walk over ten thousand files spends most of its time on `Path` objects otherwise.
    """

    name: str
    path: str
    real: str
    in_package: bool

    def child(self, name: str) -> _Place:
        own = f"{self.name}/{name}" if self.name else name
        # Not os.path.join, for the same reason.
        path = f"{self.path.rstrip(os.sep)}{os.sep}{name}"
        return _Place(own, path, f"{self.real.rstrip(os.sep)}{os.sep}{name}", self.in_package)


def _root(value: str) -> tuple[Path, bool]:
    """Where a path of the configuration leads, and whether that is inside a package."""
    if value.startswith(_PACKAGE):
        return _package_folder(value), True
    path = Path(value).expanduser().absolute()
    if not path.exists():
        raise UserError(_missing(value, path))
    return path, False


def _places(roots: Sequence[tuple[Path, bool]]) -> list[_Place]:
    """The roots with their names; these start at the root itself, or where several roots part."""
    folders = {Path(os.path.normpath(path if path.is_dir() else path.parent)) for path, _ in roots}
    base = Path(os.path.commonpath(folders))
    normal = [(Path(os.path.normpath(path)), in_package) for path, in_package in roots]
    return [
        _Place("" if path == base else path.relative_to(base).as_posix(), str(path), os.path.realpath(path), in_package)
        for path, in_package in normal
    ]


def _package_folder(value: str) -> Path:
    package, _, below = value.removeprefix(_PACKAGE).partition("/")
    try:
        folder = importlib.resources.files(package)
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        parent = package.rpartition(".")[0]
        close = nearest(package, _packages_in(parent))
        hint = f" Did you mean '{_PACKAGE}{close}'?" if close else ""
        raise UserError(f"corpus.path = '{value}': there is no package '{package}'.{hint}") from error
    if not isinstance(folder, Path):
        raise UserError(f"corpus.path = '{value}': the package '{package}' is not a folder on disk")
    path = folder / below
    if not path.exists():
        raise UserError(_missing(value, path))
    return path


def _packages_in(parent: str) -> list[str]:
    try:
        found = importlib.util.find_spec(parent) if parent else None
    except (ModuleNotFoundError, ValueError):
        found = None
    locations = found.submodule_search_locations if found else None
    return [f"{parent}.{module.name}" for module in pkgutil.iter_modules(locations)] if locations else []


def _missing(value: str, path: Path) -> str:
    """The message for a path that does not exist; names the closest thing in the folder where it goes wrong."""
    if path.is_symlink():
        return f"corpus.path = '{value}': a symbolic link to '{path.readlink()}', which does not exist"
    existing = next(parent for parent in path.parents if parent.exists())
    wrong = path.relative_to(existing).parts[0]
    try:
        close = nearest(wrong, sorted(entry.name for entry in existing.iterdir()))
    except OSError:
        close = None
    hint = f" Did you mean '{close}'?" if close else ""
    return f"corpus.path = '{value}': there is no '{wrong}' in '{existing}'.{hint}"


def _nothing_found(
    paths: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
    known: Collection[str],
    skipped: Sequence[Skipped],
) -> str:
    globs = f"files that match {_listed(include)}" + (f" and not {_listed(exclude)}" if exclude else "")
    passed_over = "".join(f"\n  {entry.name}: {entry.reason}" for entry in skipped[:_SHOWN])
    more = f"\n  and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
    message = f"corpus.path = {_listed(paths)}: nothing to read. Looked for {globs}, with one of the extensions "
    return message + ", ".join(sorted(known)) + (f"; passed over:{passed_over}{more}" if skipped else "")


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _glob(glob: str) -> tuple[str, ...]:
    """The parts of a glob, as `_matches` takes them."""
    parts = glob.removeprefix("./").rstrip("/").split("/")
    return (*(("**",) if len(parts) == 1 else ()), *parts, *(("**",) if glob.endswith("/") else ()))


def _matches(parts: Sequence[str], glob: Sequence[str]) -> bool:
    if not glob:
        return not parts
    if glob == _EVERYTHING:
        return bool(parts)
    if glob[0] == "**":
        return any(_matches(parts[start:], glob[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], glob[0]) and _matches(parts[1:], glob[1:])


class _Walk:
    """One walk over the roots; symbolic links wait until all that is real has its name."""

    def __init__(
        self,
        include: Sequence[str],
        exclude: Sequence[str],
        known: Collection[str],
        metadata: Sequence[tuple[str, Mapping[str, Any]]],
    ) -> None:
        self.files: list[SourceFile] = []
        self.skipped: list[Skipped] = []
        self._include = [_glob(glob) for glob in include]
        self._exclude = [_glob(glob) for glob in exclude]
        self._known = frozenset(extension.lower().removeprefix(".") for extension in known)
        self._metadata = [(_glob(glob), values) for glob, values in metadata]
        self._sidecars: dict[str, str] = {}  # path of a document -> path
        self._seen: set[str] = set()  # real paths
        self._links: list[_Place] = []

    def enter(self, place: _Place) -> None:
        """Take a file, or all that is real in a folder."""
        if os.path.isdir(place.real):  # noqa: PTH112
            self._folder(place)
        else:
            beside = [place.path + ending for ending in _SIDECARS if os.path.isfile(place.path + ending)]  # noqa: PTH113
            if beside:
                self._sidecars[place.path] = beside[0]
            self._file(place, regular=os.path.isfile(place.real))  # noqa: PTH113

    def follow_links(self) -> None:
        """Take what the links lead to, links behind links included, each real path once."""
        while self._links:
            pending, self._links = sorted(self._links), []
            for place in pending:
                real = Path(place.real)
                if not real.exists():
                    self._skip(place, f"a symbolic link to '{Path(place.path).readlink()}', which does not exist")
                elif real.is_dir():
                    self._subfolder(place)
                else:
                    self._file(place, regular=real.is_file())

    def _folder(self, place: _Place) -> None:
        if place.real in self._seen:
            return
        self._seen.add(place.real)
        entries = _entries(place)
        described = self._take_sidecars(place, {entry.name for entry in entries})
        for entry in entries:
            if entry.name in described:
                continue
            if entry.name.startswith(_HIDDEN) or (place.in_package and entry.name in _PACKAGE_ONLY):
                continue
            child = place.child(entry.name)
            if entry.is_symlink():
                self._links.append(_Place(child.name, child.path, os.path.realpath(child.path), child.in_package))
            elif entry.is_dir():
                self._subfolder(child)
            else:
                self._file(child, regular=entry.is_file())

    def _take_sidecars(self, folder: _Place, names: Collection[str]) -> set[str]:
        """Note which files of a folder describe which; returns their names, they are no documents."""
        taken = set()
        for name in sorted(names):
            match = _SIDECAR.fullmatch(name)
            if not match or extension_of(match[1]) not in self._known:
                continue
            taken.add(name)
            sidecar, document = folder.child(name), folder.child(match[1]).path
            if match[1] not in names:
                self._skip(sidecar, f"describes '{match[1]}', which is not there")
            elif other := self._sidecars.get(document):
                self._skip(sidecar, f"'{match[1]}' is described already, by '{os.path.basename(other)}'")  # noqa: PTH119
            else:
                self._sidecars[document] = sidecar.path
        return taken

    def _subfolder(self, place: _Place) -> None:
        if self._excluded(place):
            return
        if extension_of(place.name) in self._known:
            self._skip(place, "a folder with the name of a file; rename it to have its files read")
            return
        self._folder(place)

    def _file(self, place: _Place, regular: bool) -> None:
        if place.real in self._seen:
            return
        self._seen.add(place.real)
        extension = extension_of(place.name)
        if not regular:
            self._skip(place, "not a regular file")
        elif not _is_text(place.name):
            self._skip(place, "its name is not valid UTF-8")
        elif extension not in self._known:
            self._skip(place, f"no reader for the extension '{extension}'" if extension else "no extension")
        elif self._wanted(place):
            sidecar = self._sidecars.get(place.path, "")
            self.files.append(SourceFile(place.path, place.name, sidecar, _given(place.name, self._metadata)))

    def _skip(self, place: _Place, reason: str) -> None:
        if self._wanted(place):
            name = place.name.encode(errors="backslashreplace").decode()
            self.skipped.append(Skipped(Path(place.path), name, reason))

    def _wanted(self, place: _Place) -> bool:
        parts = place.name.split("/")
        return any(_matches(parts, glob) for glob in self._include) and not self._excluded(place)

    def _excluded(self, place: _Place) -> bool:
        parts = place.name.split("/")
        return any(_matches(parts, glob) for glob in self._exclude)


def _entries(place: _Place) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place.path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        # Going on would make every document in there look removed.
        way_out = f"; to do without it: corpus.exclude=['{place.name}/']" if place.name else ""
        raise UserError(f"corpus.path: cannot open the folder '{place.path}': {error.strerror}{way_out}") from error


def _is_text(name: str) -> bool:
    """Whether the file system's bytes are UTF-8; otherwise Python keeps them as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
