"""Citations in an answer: numbers in brackets, of which those that refer to no passage are taken out as they come."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["Citations", "Cited"]

_LONGEST = 60
"""Characters between the brackets of a citation."""
_SPACE = r"[ \t\u3000]{0,20}"
_BETWEEN = r"\d\s,，、;；~–—-"
_CITATION = re.compile(
    rf"`|(?P<space>{_SPACE})(?P<open>[\[［【])(?=[^\]］】]{{1,{_LONGEST}}}[\]］】])"
    r"(?P<numbers>\s*\d{1,3}(?:\s*[,，、;；~–—-]\s*\d{1,3})*\s*)(?P<close>[\]］】])"
)
_UNFINISHED = re.compile(rf"{_SPACE}(?:[\[［【][{_BETWEEN}]{{0,{_LONGEST}}})?$")
_PART = re.compile(r"(\d+)(?:\s*[~–—-]\s*(\d+))?")


class Citations:
    """Takes the citations of missing passages out of a text that comes in pieces.

    ``[1]``, ``[1][2]``, ``[1, 2]``, ``[1-3]`` and full-width brackets are citations; a number of more than three digits
    is not, and neither is anything in backquotes, which is code. However a text is cut into pieces, the same comes out.

    Attributes:
        used: numbers of passages that were cited, in the order of their first use.
        dangling: how many cited numbers were taken out.

    Args:
        passages: how many there are; they are numbered from 1.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._held = ""
        self._code = False
        self.used: list[int] = []
        self.dangling = 0

    def feed(self, piece: str) -> str:
        """What may be shown, now that this piece has come; a bracket is held back until it is closed."""
        text = self._held + piece
        unfinished = _UNFINISHED.search(text)
        cut = unfinished.start() if unfinished else len(text)
        self._held = text[cut:]
        return _CITATION.sub(self._checked, text[:cut])

    def end(self) -> str:
        """What was held back: the text is over."""
        rest, self._held = self._held, ""
        return rest

    def _checked(self, match: re.Match[str]) -> str:
        if match[0] == "`":
            self._code = not self._code
            return "`"
        if self._code:
            return match[0]
        numbers = [number for part in _PART.finditer(match["numbers"]) for number in _range(part)]
        good = [number for number in dict.fromkeys(numbers) if 1 <= number <= self._passages]
        missing = sum(not 1 <= number <= self._passages for number in numbers)
        self.used += [number for number in good if number not in self.used]
        self.dangling += missing
        if not missing:
            return match[0]
        if not good:
            return ""
        return f"{match['space']}{match['open']}{', '.join(map(str, good))}{match['close']}"


def _range(part: re.Match[str]) -> range:
    first, last = int(part[1]), int(part[2] or part[1])
    return range(first, last + 1) if first <= last else range(last, first + 1)


class Cited:
    """An answer as it is shown: without white space around it, and with no citation that refers to nothing.

    Attributes:
        text: what has been shown so far.

    Args:
        citations: takes out the wrong ones; None: citations are not looked at.
        sink: told each piece of what is shown.
    """

    def __init__(self, citations: Citations | None, sink: Callable[[str], None] | None) -> None:
        self._citations = citations
        self._sink = sink
        self._heard = ""
        self._space = ""
        self.text = ""

    def hear(self, piece: str) -> None:
        """A piece, as the model writes it."""
        self._heard += piece
        self._show(self._citations.feed(piece) if self._citations else piece)

    def end(self, whole: str) -> None:
        """The model is done, and `whole` is what it has written, stripped; the part not heard yet is shown."""
        heard = self._heard.lstrip()
        if whole.startswith(heard):
            self.hear(whole[len(heard) :])
        if self._citations:
            self._show(self._citations.end())

    def _show(self, piece: str) -> None:
        text = self._space + piece
        if not self.text:
            text = text.lstrip()
        shown = text.rstrip()
        self._space = text[len(shown) :]
        if shown:
            self.text += shown
            if self._sink:
                self._sink(shown)
