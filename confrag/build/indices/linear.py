"""The plain scan: what is looked up is compared with the text of every node."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from confrag.build.indices.group import Place
from confrag.build.indices.words import LookUp

__all__ = ["LinearIndex", "build"]


def build(place: Place, *, match: str, words: bool, ignore_case: bool) -> LinearIndex:
    """An index of kind ``linear``."""
    return LinearIndex(place, match=match, words=words, ignore_case=ignore_case)


class LinearIndex(LookUp):
    """Takes time in proportion to the number of nodes."""

    def __init__(self, place: Place, *, match: str, words: bool, ignore_case: bool) -> None:
        super().__init__(place, match=match, words=words, ignore_case=ignore_case)
        self._keys: dict[str, str] = {}

    def put(self, uid: str, text: str) -> None:
        """Take in a node."""
        self._keys[uid] = self.key(text)

    def drop(self, uid: str, text: str) -> None:
        """Forget a node."""
        del self._keys[uid]

    def matches(self, wanted: str) -> Mapping[str, Collection[str]]:
        """Text -> uids, of every text that is, or begins with, what is wanted."""
        found: dict[str, list[str]] = {}
        for uid, text in self._keys.items():
            if text == wanted or (self.prefix and text.startswith(wanted)):
                found.setdefault(text, []).append(uid)
        return found
