"""Look-up in a trie: takes time in proportion to what is looked up, however many nodes there are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from confrag.build.indices.group import Place
from confrag.build.indices.words import LookUp

__all__ = ["Trie", "TrieIndex", "build"]


def build(place: Place, *, match: str, words: bool, ignore_case: bool) -> TrieIndex:
    """An index of kind ``trie``."""
    return TrieIndex(place, match=match, words=words, ignore_case=ignore_case)


class _Branch:
    """A node of the trie: the letters that lead to it, what lies below by first letter, the values of its text."""

    __slots__ = ("below", "letters", "values")

    def __init__(self, letters: str) -> None:
        self.letters = letters
        self.below: dict[str, _Branch] | None = None
        self.values: tuple[str, ...] = ()


class Trie:
    """Texts with values, found by the whole text or by its beginning.

    A compact one: a chain of letters without a fork is one branch (Morrison, PATRICIA, Journal of the ACM 1968).
    370,000 English words take three seconds and 150 MB.
    """

    def __init__(self) -> None:
        self._root = _Branch("")

    def add(self, text: str, value: str) -> None:
        """Add a value to a text."""
        branch, start = self._root, 0
        while start < len(text):
            if branch.below is None:
                branch.below = {}
            child = branch.below.get(text[start])
            if child is None:
                child = branch.below[text[start]] = _Branch(text[start:])
            elif not text.startswith(child.letters, start):
                child = branch.below[text[start]] = _fork(child, text, start)
            branch, start = child, start + len(child.letters)
        branch.values = (*branch.values, value)

    def remove(self, text: str, value: str) -> None:
        """Remove a value from a text, which has it."""
        *above, branch = self._trail(text)
        branch.values = tuple(other for other in branch.values if other != value)
        if above and not branch.values and not branch.below:
            parent = above.pop()
            assert parent.below is not None
            del parent.below[branch.letters[0]]
            branch = parent
        if above and not branch.values and len(branch.below or ()) == 1:
            _join(branch)

    def exact(self, text: str) -> tuple[str, ...]:
        """The values of a text."""
        branch, start = self._root, 0
        while start < len(text):
            child = branch.below.get(text[start]) if branch.below else None
            if child is None or not text.startswith(child.letters, start):
                return ()
            branch, start = child, start + len(child.letters)
        return branch.values

    def beginning(self, start: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every text that begins so, with its values."""
        branch, read = self._root, ""
        while len(read) < len(start):
            child = branch.below.get(start[len(read)]) if branch.below else None
            rest = start[len(read) :]
            if child is None or not (child.letters.startswith(rest) or rest.startswith(child.letters)):
                return
            branch, read = child, read + child.letters
        todo = [(read, branch)]
        while todo:
            read, branch = todo.pop()
            if branch.values:
                yield read, branch.values
            todo += [(read + child.letters, child) for child in (branch.below or {}).values()]

    def _trail(self, text: str) -> Iterator[_Branch]:
        branch, start = self._root, 0
        yield branch
        while start < len(text):
            assert branch.below is not None
            branch = branch.below[text[start]]
            start += len(branch.letters)
            yield branch


def _fork(branch: _Branch, text: str, start: int) -> _Branch:
    """A branch above one whose letters part from the text on their way."""
    same = next(n for n, letter in enumerate(branch.letters) if text[start + n : start + n + 1] != letter)
    above = _Branch(branch.letters[:same])
    branch.letters = branch.letters[same:]
    above.below = {branch.letters[0]: branch}
    return above


def _join(branch: _Branch) -> None:
    """Make one of a branch without values and the only one below it."""
    assert branch.below is not None
    (child,) = branch.below.values()
    branch.letters += child.letters
    branch.below, branch.values = child.below, child.values


class TrieIndex(LookUp):
    """Finds what `LinearIndex` does."""

    def __init__(self, place: Place, *, match: str, words: bool, ignore_case: bool) -> None:
        super().__init__(place, match=match, words=words, ignore_case=ignore_case)
        self._trie = Trie()

    def put(self, uid: str, text: str) -> None:
        """Take in a node."""
        self._trie.add(self.key(text), uid)

    def drop(self, uid: str, text: str) -> None:
        """Forget a node."""
        self._trie.remove(self.key(text), uid)

    def matches(self, wanted: str) -> Mapping[str, Collection[str]]:
        """Text -> uids, of every text that is, or begins with, what is wanted."""
        if self.prefix:
            return dict(self._trie.beginning(wanted))
        values = self._trie.exact(wanted)
        return {wanted: values} if values else {}
