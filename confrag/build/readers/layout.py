"""Undo what the layout of a page did to its text: broken words, broken lines, ligatures."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

BROKEN_WORD = "\ufffe"
"""Stands where a word was hyphenated at the end of a line (PDFium's mark for it)."""

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN = re.compile(rf"([^\W\d_]+){BROKEN_WORD}\s*([^\W\d_]+)")
# Ligatures (ﬁ), and radicals that many Chinese PDFs hold in place of the characters that look the same (⼀ for 一).
_LOOKALIKES = re.compile("[\u2e80-\u2fdf\ufb00-\ufb06]")
_STRAY_PUNCTUATION = re.compile(r"\s*\n\s*(?=[,;.)\]](?:\s|$)|[，。、；：！？）】》」』”])")
_LIST_ITEM = re.compile(r"第[^，。]{1,6}[条章节款编]|[（(]?[\d一二三四五六七八九十]+[)）、.．]\D|[-•·▪●○■◆*]")
_CHINESE = "\u3007\u3400-\u9fff\uf900-\ufaff"
_OPEN_END = rf"[{_CHINESE}][，、]?|[{_CHINESE}][0-9A-Za-z]+|[）》”」]"
_CONTINUES_CHINESE = re.compile(rf"(?:{_OPEN_END})\n[{_CHINESE}0-9A-Za-z（《“「]")
# Shares of the usual width; a line of Latin text may be narrower, since a small letter after it is evidence enough.
_FULL_CHINESE = 0.75
_FULL_LATIN = 0.5


def rejoin_words(pages: Sequence[str]) -> list[str]:
    """The pages with the words whole that the ends of lines broke.

    A hyphen is kept (chunk-based) when the document has the hyphenated word elsewhere, or both halves as words and
    not the whole; otherwise the halves are one word (representa-tions).
    """
    words = {word for page in pages for word in _WORD.findall(_BROKEN.sub(" ", page).lower())}

    def rejoin(match: re.Match[str]) -> str:
        left, right = match.groups()
        first, second = left.lower(), right.lower()
        compound = f"{first}-{second}" in words or (first + second not in words and {first, second} <= words)
        return f"{left}-{right}" if compound else left + right

    return [_BROKEN.sub(rejoin, page).replace(BROKEN_WORD, "-") for page in pages]


def unwrap(page: str) -> str:
    """The text of a page with the lines of a paragraph in one: Chinese joined as it is, other text by a space.

    Only a line that fills the page, ends in mid-sentence and is followed by no list item is continued, so headings,
    tables and lists keep their lines.
    """
    page = _LOOKALIKES.sub(lambda match: unicodedata.normalize("NFKC", match.group()), page)
    lines = [line.strip() for line in _STRAY_PUNCTUATION.sub("", page).splitlines()]
    usual = _usual_width(lines)
    text = lines[0] if lines else ""
    for line, following in pairwise(lines):
        text += _joint(line, following, usual) + following
    return text


def _joint(line: str, following: str, usual: int) -> str:
    if not line or not following or _LIST_ITEM.match(following):
        return "\n"
    width = _width(line)
    if width >= _FULL_CHINESE * usual and _CONTINUES_CHINESE.search(f"{line[-12:]}\n{following[0]}"):
        return ""
    mid_sentence = (line[-1].isalnum() or line[-1] in ",;)") and following[0].islower()
    before_number = line[-1].islower() and following[0].isdigit() and not following.isdigit()  # no number of a page
    return " " if width >= _FULL_LATIN * usual and (mid_sentence or before_number) else "\n"


def _usual_width(lines: Sequence[str]) -> int:
    """The width that nine in ten lines do not exceed: one long row of a table does not make the rest look short."""
    widths = sorted(_width(line) for line in lines if line)
    return widths[math.ceil(0.9 * len(widths)) - 1] if widths else 0


def _width(line: str) -> int:
    """Columns: a Chinese character is as wide as two Latin ones."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)
