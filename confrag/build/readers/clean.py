"""Take out of a text what chunking, embedding and storing trip over, and nothing that a reader would miss."""

from __future__ import annotations

import re
import unicodedata

_LINE_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SOFT_HYPHENS = re.compile("\xad(?:[ \t]*\n[ \t]*)?")
_SPACES = re.compile("[\xa0\u2000-\u200a\u202f\u205f]")
# Controls, lone surrogates (no UTF-8 form), byte order marks, zero-width spaces and two noncharacters.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\u200b\u2060\ufeff\ufffe\uffff]")
_TRAILING_SPACES = re.compile("[ \t\u3000]+$", re.MULTILINE)
_CHINESE_INDENT = re.compile("^\u3000+", re.MULTILINE)
_BLANK_LINES = re.compile("\n{3,}")


def clean(text: str) -> str:
    """The text with one kind of line break and of space, composed (NFC), without control and invisible characters.

    Words that a soft hyphen divides are whole again; blank lines come one at a time. ASCII indentation,
    full-width forms and everything visible stay.
    """
    text = _LINE_BREAKS.sub("\n", text)
    text = _SOFT_HYPHENS.sub("", text)
    text = _SPACES.sub(" ", text)
    text = _UNWANTED.sub("", text)
    text = unicodedata.normalize("NFC", text)
    text = _CHINESE_INDENT.sub("", _TRAILING_SPACES.sub("", text))
    return _BLANK_LINES.sub("\n\n", text).strip()
