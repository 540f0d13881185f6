"""Files that are zip archives inside (docx, pptx, xlsx, epub): checked before a library unpacks them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import olefile

from confrag.build.readers.section import UnreadableFileError

MAX_UNPACKED = 512 * 2**20
"""Bytes. `zipfile` unpacks no more of a member than its entry declares, so adding up what is declared is enough."""

MAX_PARSED = 64 * 2**20
"""Bytes of the XML of a file whose reader builds a tree of all of it, which takes some twenty times as much memory."""


def check_archive(path: Path, max_xml: int = MAX_UNPACKED) -> None:
    """Raise `UnreadableFileError` unless the file is a zip archive, without a password, of a bearable size.

    Args:
        path: the file.
        max_xml: bytes that all XML in it may have.
    """
    if olefile.isOleFile(path):
        raise UnreadableFileError(path, _why_ole(path))
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        kind = path.suffix.lower().removeprefix(".")
        raise UnreadableFileError(path, f"damaged, or not a {kind} file (not a zip archive inside)") from error
    if any(member.flag_bits & 0x1 for member in members):
        raise UnreadableFileError(path, "protected by a password; save it without one")
    _check_size(path, "files", sum(member.file_size for member in members), MAX_UNPACKED)
    _check_size(path, "XML", sum(member.file_size for member in members if member.filename.endswith(".xml")), max_xml)


def _check_size(path: Path, what: str, size: int, limit: int) -> None:
    if size > limit:
        sizes = f"unpacks to {size / 2**20:,.0f} MB of {what}; at most {limit / 2**20:,.0f} MB are read"
        raise UnreadableFileError(path, f"{sizes} (a zip bomb? If not, split it or take large media out)")


def _why_ole(path: Path) -> str:
    with olefile.OleFileIO(path) as compound:
        if compound.exists("EncryptedPackage"):
            return "protected by a password; save it without one"
    return f"in the format of Office before 2007; save it as {path.suffix.lower().removeprefix('.')}"
