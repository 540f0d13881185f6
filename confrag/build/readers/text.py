"""Plain text and Markdown, in whatever encoding.

LazyLLM's TxtReader is not used: it reads Big5 as GB18030, reads random bytes as Latin-1, and takes an empty file.
Its MarkdownReader is not used: it knows UTF-8 only, deletes what stands between "<" and ">", and garbles two links
on a line.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import yaml
from charset_normalizer import from_bytes

from confrag.build.readers.section import Section, UnreadableFileError

MAX_TEXT = 256 * 2**20
"""Bytes of a text file that is read as a whole."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_WIDE = re.compile(rb"[\x80-\xff].", re.DOTALL)
# Bytes of two-byte characters in everyday use: punctuation, and the more frequent half of the Chinese characters.
_COMMON = {
    "gb18030": re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]"),
    "big5": re.compile(rb"[\xa1-\xc6][\x40-\x7e\xa1-\xfe]"),
}
_LIKELY = 0.7
# What a text in Latin letters holds beside ASCII, in Windows-1252.
_WESTERN = re.compile("[\x00-\x7fÀ-ÖØ-öø-ÿŒœŠšŽžŸ‘’‚“”„–—…•€£§©®™«»°·¿¡ªº±½\xa0]*")
_SAMPLE = 65_536
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_EMBEDDED_IMAGE = re.compile(r"(!\[[^\]]*\])\(data:[^)]*\)")


def read_text(path: Path) -> list[Section]:
    """The whole file as one section, without its YAML front matter, if any."""
    front, text = front_matter(load_text(path))
    return [Section(text, document=front)]


def read_markdown(path: Path) -> list[Section]:
    """The whole file as one section, without its YAML front matter, if any."""
    front, text = front_matter(_EMBEDDED_IMAGE.sub(r"\1", load_text(path)))
    return [Section(text, document=front)]


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The YAML between two lines ``---`` at the top of a text, and the text behind it; nothing where there is none."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    try:
        front = yaml.safe_load(match.group(1))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, text  # a text between two rules
    return (front, text[match.end() :]) if isinstance(front, dict) else ({}, text)


def load_text(path: Path, declared: str | None = None) -> str:
    """The text of a file, line breaks as ``\\n``.

    Args:
        path: the file.
        declared: the encoding that the file itself names, tried before guessing.

    Raises:
        UnreadableFileError: it is not text, or too large.
    """
    size = path.stat().st_size
    if size > MAX_TEXT:
        large = f"{size / 2**20:,.0f} MB of text in one file; at most {MAX_TEXT / 2**20:,.0f} MB are read: split it"
        raise UnreadableFileError(path, large)
    text = decode(path.read_bytes(), declared)
    if text is None:
        raise UnreadableFileError(path, "binary data, or text in an unknown encoding; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def decode(data: bytes, declared: str | None = None) -> str | None:
    """The text that the bytes hold; None when they are no text, or in an encoding that cannot be told.

    In this order: a byte order mark, UTF-8, the declared encoding, GB18030 or Big5, whichever makes common
    characters of most bytes, Windows-1252 for text that is mostly ASCII, then what charset-normalizer finds. UTF-16
    without a mark is known by its zeros.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding)
    if b"\0" in data[:_SAMPLE]:
        return _utf16_without_mark(data)
    text = _strictly(data, "utf-8")
    if text is not None:
        return text
    if _BINARY.search(data[:_SAMPLE]):
        return None
    text = _damaged_utf8(data)
    if text is None and declared:
        text = _strictly(data, declared)
    return text if text is not None else _legacy(data)


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _damaged_utf8(data: bytes) -> str | None:
    """UTF-8 with a bad byte here and there: far more sound characters than other encodings would make by chance."""
    text = data.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    sound = sum(character > "\x7f" for character in text) - bad
    return text if bad * 20 <= sound else None


def _utf16_without_mark(data: bytes) -> str | None:
    """Text whose every other byte is zero; or text in UTF-8 with a few stray zero bytes."""
    sample = data[:_SAMPLE]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if zeros.count(0) * 3 > len(zeros) and zeros.count(0) * 3 > sample.count(0) * 2:
            return _strictly(data, encoding)
    if sample.count(0) * 100 > len(sample):
        return None
    text = _strictly(data.replace(b"\0", b""), "utf-8")
    return None if text is None or _BINARY.search(sample.replace(b"\0", b"")) else text


def _legacy(data: bytes) -> str | None:
    sample = data[:_SAMPLE]
    wide: list[bytes] = _WIDE.findall(sample)
    shares = {name: sum(bool(common.match(pair)) for pair in wide) / len(wide) for name, common in _COMMON.items()}
    likely = max(shares, key=lambda name: shares[name])
    if shares[likely] >= _LIKELY and (text := _strictly(data, likely)) is not None:
        return text
    western = _strictly(data, "cp1252") if len(wide) * 3 < len(sample) else None
    if western is not None and _WESTERN.fullmatch(western):
        return western
    best = from_bytes(data).best()
    return None if best is None else str(best)
