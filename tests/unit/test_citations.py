"""Citations: what counts as one, which are taken out, and that it does not matter how a text is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from confrag.build.citations import Citations, Cited

PASSAGES = 3


def checked(*pieces: str) -> tuple[str, list[int], int]:
    citations = Citations(PASSAGES)
    text = "".join([*map(citations.feed, pieces), citations.end()])
    return text, citations.used, citations.dangling


@pytest.mark.parametrize(
    ("text", "expected", "used", "dangling"),
    [
        ("It opens at nine [1].", "It opens at nine [1].", [1], 0),
        ("It opens at nine [4].", "It opens at nine.", [], 1),
        ("It opens at nine [0].", "It opens at nine.", [], 1),
        ("Nine[2][1], noon[9][3].", "Nine[2][1], noon[3].", [2, 1, 3], 1),
        ("Nine [1, 2].", "Nine [1, 2].", [1, 2], 0),
        ("Nine [1, 7,2; 8].", "Nine [1, 2].", [1, 2], 2),
        ("Nine [7, 8] or ten.", "Nine or ten.", [], 2),
        ("Nine [1-3].", "Nine [1-3].", [1, 2, 3], 0),
        ("Nine [2–5].", "Nine [2, 3].", [2, 3], 2),
        ("Nine [3-2].", "Nine [3-2].", [2, 3], 0),
        ("九点开门【1】，中午关门［5］。", "九点开门【1】，中午关门。", [1], 1),
        ("九点［１、９］。", "九点［1］。", [1], 1),
        ("Twice [1] and [1].", "Twice [1] and [1].", [1], 0),
        ("Built in [1964].", "Built in [1964].", [], 0),
        ("A list [a, b], a dict [x: 1], none [].", "A list [a, b], a dict [x: 1], none [].", [], 0),
        ("An item `a[9]` of it [9].", "An item `a[9]` of it.", [], 1),
        ("```\nrow[7] = 1\n``` [7]", "```\nrow[7] = 1\n```", [], 1),
        ("An open bracket [1", "An open bracket [1", [], 0),
        ("Open [ [2] [", "Open [ [2] [", [2], 0),
        ("[8] First.", " First.", [], 1),
        ("Space  \t[8] goes, lines\n[8] stay.", "Space goes, lines\n stay.", [], 2),
        (f"Long [{', '.join(['1'] * 40)}].", f"Long [{', '.join(['1'] * 40)}].", [], 0),
    ],
)
def test_what_is_taken_out(text: str, expected: str, used: list[int], dangling: int) -> None:
    assert checked(text) == (expected, used, dangling)
    assert checked(*text) == (expected, used, dangling)


TEXTS = st.text(st.sampled_from("[]［］【】 \t\n`,，-–;12345690ab。"), max_size=150)


@given(TEXTS, st.lists(st.integers(0, 150), max_size=12))
@example("a" + " " * 50 + "[9]", [20, 30, 52])
@example("[" + "1," * 29 + "1]", [59, 60])
def test_the_pieces_do_not_matter(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert checked(*pieces) == checked(text)


@given(TEXTS)
def test_nothing_dangles_afterwards_and_nothing_else_is_lost(text: str) -> None:
    once, _, _ = checked(text)
    assert [char for char in once if char in "ab。`"] == [char for char in text if char in "ab。`"]


def test_a_bracket_is_held_back_and_nothing_else() -> None:
    citations = Citations(PASSAGES)
    assert [citations.feed(piece) for piece in ("It opens", " at nine", " ", "[", "9", "]", ".", " [x")] == [
        "It opens",
        " at nine",
        "",
        "",
        "",
        "",
        ".",
        " [x",
    ]


@given(TEXTS, st.lists(st.integers(0, 150), max_size=12), st.booleans())
def test_what_was_shown_is_the_text(text: str, cuts: list[int], cites: bool) -> None:
    """As the model's server streams it: pieces as they are, then the whole, stripped."""
    shown: list[str] = []
    cited = Cited(Citations(PASSAGES) if cites else None, shown.append)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in pairwise(places):
        cited.hear(text[start:end])
    cited.end(text.strip())
    assert "".join(shown) == cited.text == cited.text.strip()
    at_once = Cited(Citations(PASSAGES) if cites else None, None)
    at_once.end(text.strip())
    assert at_once.text == cited.text
    assert cites or cited.text == text.strip()


def test_what_was_added_at_the_end_is_shown_too() -> None:
    """An answer that reached its longest is streamed without the mark that it was cut."""
    shown: list[str] = []
    cited = Cited(Citations(PASSAGES), shown.append)
    for piece in (" It opens", " at [9", "] nine and"):
        cited.hear(piece)
    cited.end("It opens at [9] nine and …")
    assert "".join(shown) == cited.text == "It opens at nine and …"
