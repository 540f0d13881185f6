"""Look-up of texts by what they are or begin with: what the scan and the trie have in common."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Collection, Mapping

from confrag.build.indices.group import Place, TextIndex

__all__ = ["LookUp"]

_WORD = re.compile(r"\w+")


class LookUp(TextIndex):
    """Finds nodes by their text, blanks around it aside.

    Args:
        place: what it is built for.
        match: ``exact``: the node's text is what is looked up; ``prefix``: it begins with it.
        words: look up each word of the question by itself.
        ignore_case: take capital and small letters for the same.
    """

    def __init__(self, place: Place, *, match: str, words: bool, ignore_case: bool) -> None:
        super().__init__(place)
        self.prefix = match == "prefix"
        self._words = words
        self._ignore_case = ignore_case

    @abstractmethod
    def matches(self, wanted: str) -> Mapping[str, Collection[str]]:
        """Text -> uids, of every text that is, or begins with, what is wanted."""

    def key(self, text: str) -> str:
        """A text as it is compared."""
        text = text.strip()
        return text.casefold() if self._ignore_case else text

    def scores(self, query: str) -> dict[str, float]:
        """For a whole question 1, or the share of the text that it is; for words the sum of what they weigh."""
        whole = self.key(query)
        if not self._words:
            return self._scores(whole, 1.0) if whole else {}
        found: dict[str, float] = {}
        for word in dict.fromkeys(_WORD.findall(whole)):
            for uid, score in self._scores(word, None).items():
                found[uid] = found.get(uid, 0.0) + score
        return found

    def _scores(self, wanted: str, weight: float | None) -> dict[str, float]:
        matches = self.matches(wanted)
        if weight is None:
            count = sum(map(len, matches.values()))
            weight = math.log(1 + len(self.texts) / count) if count else 0.0
        return {uid: weight * len(wanted) / len(text) for text, uids in matches.items() for uid in uids}
