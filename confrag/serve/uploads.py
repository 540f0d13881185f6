"""Files that come from outside: what is refused before anything is kept of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from confrag.errors import UserError
from confrag.serve.problems import ProblemError

__all__ = ["allowed_roots", "check_archive", "check_size", "inside", "name_of", "parse_metadatas"]

_ARCHIVES = frozenset({"docx", "epub", "pptx", "xlsx"})
_MOST_MEMBERS = 20_000
_MB = 2**20


def name_of(filename: str | None, user_path: str | None) -> str:
    """What an uploaded file is called in the corpus: its own name, below the folder that the caller wants."""
    folder = (user_path or "").strip("/")
    return f"{folder}/{filename or ''}" if folder else filename or ""


def check_size(name: str, size: int, most_mb: int) -> None:
    """Raises ProblemError (413) for a file that is larger than it may be."""
    if size > most_mb * _MB:
        raise ProblemError(413, f"'{name}' has {size / _MB:,.1f} MB; at most {most_mb} MB (serve.max_upload_mb)")


def check_archive(name: str, content: IO[bytes], most_mb: int) -> None:
    """Refuse an office file that would be too large when it is unpacked; nothing is unpacked for that.

    The sizes are those that the archive declares; readers never take more of a member than it declares.

    Raises:
        ProblemError: 413.
    """
    if name.rpartition(".")[2].lower() not in _ARCHIVES:
        return
    try:
        with zipfile.ZipFile(content) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # the reader says what is wrong with it
    finally:
        content.seek(0)
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_mb * _MB or len(members) > _MOST_MEMBERS:
        raise ProblemError(
            413,
            f"'{name}' would be {unpacked / _MB:,.0f} MB in {len(members):,} files when it is unpacked; at most "
            f"{most_mb} MB (serve.max_unpacked_mb) in {_MOST_MEMBERS:,}",
        )


def parse_metadatas(text: Any, count: int) -> list[Mapping[str, Any]]:
    """The metadata that come along with files.

    Args:
        text: a list of objects, as data; None: there are none.
        count: of the files.

    Raises:
        UserError: it is something else, or of another length.
    """
    if text is None:
        return [{}] * count
    if not isinstance(text, list) or not all(isinstance(entry, dict | None) for entry in text):
        raise UserError('metadatas must be a list of objects as JSON: [{"year": 1999}, {}]')
    if len(text) != count:
        raise UserError(f"metadatas has {len(text)} entries for {count} files; give one for each, or leave it out")
    return [entry or {} for entry in text]


def allowed_roots(paths: Iterable[str], more: Iterable[str]) -> list[Path]:
    """The real folders from which files may be added: those of the corpus, and those that the configuration names."""
    named = [Path(path).expanduser() for path in (*paths, *more) if not path.startswith("pkg://")]
    return [(path if path.is_dir() else path.parent).resolve() for path in named]


def inside(path: str, roots: Iterable[Path]) -> Path | None:
    """The real place of a file, None where there is none.

    Raises:
        ProblemError: 403: it lies outside of the folders, or a link leads out of them.
    """
    if "\0" in path:
        raise UserError("a path has no null characters")
    real = Path(path).expanduser().resolve()
    if not any(real.is_relative_to(root) for root in roots):
        # Whether there is such a file is told to nobody.
        base = PurePosixPath(path).name
        raise ProblemError(403, f"'{base}' lies outside of the folders of corpus.path and serve.add_from")
    return real if real.is_file() else None
