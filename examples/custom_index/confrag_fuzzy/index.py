"""The index `fuzzy`."""

from __future__ import annotations

from collections import Counter, defaultdict

from confrag.build.indices.group import Place, TextIndex


class FuzzyIndex(TextIndex):
    """Scores a text by the share of its sequences of letters that the question has, too: 1 when it has them all."""

    def __init__(self, place: Place, *, letters: int) -> None:
        super().__init__(place)
        self._letters = letters
        self._uids: dict[str, set[str]] = defaultdict(set)

    def put(self, uid: str, text: str) -> None:
        """Take in a text."""
        for sequence in self._sequences(text):
            self._uids[sequence].add(uid)

    def drop(self, uid: str, text: str) -> None:
        """Forget a text."""
        for sequence in self._sequences(text):
            self._uids[sequence].discard(uid)

    def scores(self, query: str) -> dict[str, float]:
        """Every text that has a sequence in common with the question."""
        shared = Counter(uid for sequence in self._sequences(query) for uid in self._uids.get(sequence, ()))
        return {uid: count / len(self._sequences(self.texts[uid])) for uid, count in shared.items()}

    def _sequences(self, text: str) -> set[str]:
        line = f" {' '.join(text.lower().split())} "
        return {line[start : start + self._letters] for start in range(len(line) - self._letters + 1)}
