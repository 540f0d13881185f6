"""Look-up by the whole text or its beginning: the plain scan and the trie."""

from __future__ import annotations

import math
import string
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.build.indices.linear import LinearIndex
from confrag.build.indices.trie import Trie, TrieIndex
from confrag.build.indices.words import LookUp
from confrag.errors import UserError
from tests.unit.indexed import GROUP, Nodes, place, written

KINDS = [LinearIndex, TrieIndex]
WORDS = {
    "1": "ferry",
    "2": "Ferry",
    "3": " ferryman ",
    "4": "fare",
    "5": "far",
    "6": "",
    "7": "ferry",
    "8": "two words",
}


def index(
    kind: type[LookUp], nodes: Nodes, match: str = "exact", words: bool = False, ignore_case: bool = False
) -> LookUp:
    return kind(place(nodes), match=match, words=words, ignore_case=ignore_case)


def found(by: LookUp, query: str, topk: int | None = None) -> dict[str, float]:
    nodes = by.query(query, GROUP, topk=topk)
    scores = {node.uid: node.similarity_score for node in nodes}
    assert list(scores) == sorted(scores, key=lambda uid: (-scores[uid], uid))
    return scores


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("match", "ignore_case", "query", "expected"),
    [
        ("exact", False, "ferry", {"1": 1, "7": 1}),
        ("exact", False, " ferry\n", {"1": 1, "7": 1}),
        ("exact", True, "FERRY", {"1": 1, "2": 1, "7": 1}),
        ("exact", False, "two words", {"8": 1}),
        ("exact", False, "fer", {}),
        ("exact", False, "ferrymen", {}),
        ("exact", False, "", {}),
        ("prefix", False, "ferry", {"1": 1, "7": 1, "3": 5 / 8}),
        ("prefix", True, "ferr", {"1": 4 / 5, "2": 4 / 5, "7": 4 / 5, "3": 1 / 2}),
        ("prefix", False, "far", {"5": 1, "4": 3 / 4}),
        ("prefix", False, "farm", {}),
        ("prefix", False, " ", {}),
    ],
)
def test_whole_questions(
    kind: type[LookUp], match: str, ignore_case: bool, query: str, expected: dict[str, float]
) -> None:
    assert found(index(kind, Nodes(WORDS), match, ignore_case=ignore_case), query) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_words_weigh_the_more_the_fewer_nodes_they_find(kind: type[LookUp]) -> None:
    nodes = Nodes(WORDS)
    weight = {1: math.log(1 + 8), 2: math.log(1 + 4)}
    by_word = index(kind, nodes, words=True)
    assert found(by_word, "Is the ferry far, the ferry?") == pytest.approx(
        {"1": weight[2], "7": weight[2], "5": weight[1]}
    )
    assert found(by_word, "two words") == {}
    by_beginning = index(kind, nodes, "prefix", words=True)
    assert found(by_beginning, "far fare") == pytest.approx({"5": weight[2], "4": weight[2] * 3 / 4 + weight[1]})


@pytest.mark.parametrize("kind", KINDS)
def test_limits(kind: type[LookUp]) -> None:
    by = index(kind, Nodes(WORDS), "prefix")
    assert list(found(by, "ferry", topk=2)) == ["1", "7"]
    assert [node.uid for node in by.query("ferry", GROUP, similarity_cut_off=0.7)] == ["1", "7"]
    assert [node.uid for node in by.query("ferry", GROUP, filters={"like": "[37]"})] == ["7", "3"]
    assert by.query("ferry", GROUP, filters={"like": "x"}) == []
    with pytest.raises(UserError, match=r"^indices\.mine finds nodes of group 'group', not of 'other'$"):
        by.query("ferry", "other")
    with pytest.raises(UserError, match=r"^indices\.mine has no embeddings: its similarity_cut_off must be a number$"):
        by.query("ferry", GROUP, similarity_cut_off={"dense": 0.5})


@pytest.mark.parametrize("kind", KINDS)
def test_changes_are_taken_in_and_nothing_else_is_read(kind: type[LookUp]) -> None:
    nodes = Nodes(WORDS)
    by = index(kind, nodes)
    assert list(found(by, "ferry")) == ["1", "7"]
    nodes.read.clear()
    by.update(written(nodes, n1="ferry", n2="quay"))
    del nodes.held["7"]
    by.remove(["7"], GROUP)
    assert list(found(by, "ferry")) == ["1", "n1"]
    assert nodes.read == ["n1", "n2"]
    by.remove(["1"], "another group")
    by.update(written(nodes, n2="pier"))  # another text under the same id
    assert (list(found(by, "quay")), list(found(by, "pier"))) == ([], ["n2"])
    nodes.held.clear()
    by.remove(None)
    assert found(by, "ferry") == {}


LETTERS = st.text(st.sampled_from("abAB é"), max_size=5)
STEPS = st.lists(st.tuples(st.integers(0, 12), st.none() | LETTERS, LETTERS), max_size=30)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.sampled_from(["exact", "prefix"]), st.booleans(), st.booleans())
def test_the_trie_finds_what_the_scan_finds(
    steps: list[tuple[int, str | None, str]], match: str, words: bool, ignore_case: bool
) -> None:
    nodes = Nodes({})
    both = [index(kind, nodes, match, words, ignore_case) for kind in KINDS]
    for number, text, query in steps:
        uid = f"n{number}"
        if text is None:
            nodes.held.pop(uid, None)
            for by in both:
                by.remove([uid], GROUP)
        else:
            for by, changed in zip(both, [written(nodes, **{uid: text})] * 2, strict=True):
                by.update(changed)
        scan, trie = (found(by, query) for by in both)
        assert trie == scan


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), LETTERS, st.sampled_from("xyz")), max_size=40))
def test_a_trie_holds_what_a_dictionary_holds_and_no_branch_too_many(steps: list[tuple[bool, str, str]]) -> None:
    trie, held = Trie(), set()
    for add, text, value in steps:
        if add and (text, value) not in held:
            held.add((text, value))
            trie.add(text, value)
        elif not add and (text, value) in held:
            held.discard((text, value))
            trie.remove(text, value)
    assert {(text, value) for text, values in trie.beginning("") for value in values} == held
    for text in {text for text, _ in held}:
        assert set(trie.exact(text)) == {value for other, value in held if other == text}
    todo = list((trie._root.below or {}).items())
    while todo:
        first, branch = todo.pop()
        below = branch.below or {}
        assert branch.letters.startswith(first)
        assert branch.values or len(below) > 1
        todo += below.items()


def test_one_changes_while_others_ask() -> None:
    nodes = Nodes({f"{n:04}": string.ascii_lowercase[n % 26] * 3 for n in range(500)})
    by, failed = index(TrieIndex, nodes, "prefix"), []

    def ask() -> None:
        try:
            for _ in range(30):
                assert len(found(by, "aa")) == 20
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(30):
        by.update(written(nodes, **{f"new{number}": "zzz"}))
    for thread in threads:
        thread.join()
    assert failed == []
