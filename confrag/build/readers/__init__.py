"""Reading documents: a file in, sections of clean text out, or one error that says why not."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from confrag.build.readers.clean import clean
from confrag.build.readers.section import Section, UnreadableFileError
from confrag.errors import UserError, nearest
from confrag.registry.readers import EXTENSIONS, READERS, extension_of, kind_of

__all__ = ["Section", "UnreadableFileError", "read"]

_NO_READERS: Mapping[str, str] = MappingProxyType({})


def read(path: Path, readers: Mapping[str, str] = _NO_READERS) -> list[Section]:
    """Read a file into sections, at least one, none of them blank.

    Args:
        path: the file.
        readers: extension (lower case, no dot) -> kind of reader, before the usual ones.

    Raises:
        UnreadableFileError: the file is missing, empty, damaged, protected, without text, or of an unknown kind.
    """
    _check_file(path)
    function = _reader(path, readers)
    try:
        sections = [_cleaned(section) for section in function(path)]
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise UnreadableFileError(path, error.strerror) from error
        # The libraries raise whatever a damaged file makes them stumble over, KeyError and AssertionError included.
        what = f"{type(error).__name__}: {error}".strip(": ")
        raise UnreadableFileError(path, f"damaged, or not a {extension_of(path)} file ({what})") from error
    sections = [section for section in sections if section.text]
    if not sections:
        raise UnreadableFileError(path, "no text in it")
    return sections


def _check_file(path: Path) -> None:
    try:
        if path.is_symlink() and not path.exists():
            raise UnreadableFileError(path, f"a symbolic link to '{path.readlink()}', which does not exist")
        if path.is_dir():
            raise UnreadableFileError(path, "a folder, not a file")
        if not path.exists():
            raise UnreadableFileError(path, "no such file")
        if not path.is_file():
            raise UnreadableFileError(path, "not a regular file")
        if path.stat().st_size == 0:
            raise UnreadableFileError(path, "empty (0 bytes)")
        path.open("rb").close()  # Some libraries call a file without permission a damaged one.
    except OSError as error:
        raise UnreadableFileError(path, error.strerror or str(error)) from error


def _reader(path: Path, readers: Mapping[str, str]) -> Callable[[Path], list[Section]]:
    extension = extension_of(path)
    kind = kind_of(path, readers)
    if kind is None:
        known = ", ".join(sorted({*EXTENSIONS, *readers}))
        raise UnreadableFileError(path, f"no reader for the extension '{extension}' (known: {known})")
    if kind not in READERS:
        close = nearest(kind, READERS)
        hint = f" Did you mean '{close}'?" if close else ""
        raise UserError(f"corpus.readers.{extension} = '{kind}': not one of {', '.join(sorted(READERS))}.{hint}")
    function: Callable[[Path], list[Section]] = pkgutil.resolve_name(READERS[kind])
    return function


def _cleaned(section: Section) -> Section:
    metadata = {key: clean(value) if isinstance(value, str) else value for key, value in section.metadata.items()}
    return Section(clean(section.text), metadata, section.document)
