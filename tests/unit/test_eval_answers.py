"""Answers against what is right: worked examples of SQuAD's and CMRC2018's measures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.evaluate.answers import answer_metrics, contains, exact_match, f1, without_citations


@pytest.mark.parametrize(
    ("answer", "right", "same"),
    [
        ("The Eiffel Tower.", "eiffel tower", True),
        ("an  apple, a day", "apple day", True),
        ("Theodore", "odore", False),  # "the" is an article as a word only
        ("U.S.", "us", True),
        ("1964", "1965", False),
        ("", "the", True),
    ],
)
def test_exact_match_in_english(answer: str, right: str, same: bool) -> None:
    assert exact_match(answer, right, "en") is same


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        # 2 of 3 words are right (the article does not count), 2 of 2 are found: 2 * 2/3 * 1 / (2/3 + 1).
        ("the northern crane lifts", "northern crane", 0.8),
        ("crane", "northern crane", 2 / 3),
        ("crane crane crane", "crane", 0.5),
        ("forty tonnes", "northern crane", 0.0),
        ("", "crane", 0.0),
        ("The", "a", 1.0),
    ],
)
def test_f1_in_english(answer: str, right: str, expected: float) -> None:
    assert f1(answer, right, "en") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        ("It was built in 1964.", "1964", True),
        ("It was built in 19645", "1964", False),
        ("It lifts forty tonnes", "the forty tonnes!", True),
        ("It lifts", "?", False),
    ],
)
def test_contains_in_english(answer: str, right: str, expected: bool) -> None:
    assert contains(answer, right, "en") is expected


@pytest.mark.parametrize(
    ("answer", "right", "same"),
    [
        ("《泡泡战士》。", "泡泡战士", True),
        ("4 分钟", "4分钟", True),
        ("NEXON", "Nexon", True),
        ("韩国", "韩国Nexon", False),
    ],
)
def test_exact_match_in_chinese(answer: str, right: str, same: bool) -> None:
    assert exact_match(answer, right, "zh") is same


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        # The longest stretch that both have: 泡泡 (2) of 4 and 3 characters.
        ("泡泡战士", "泡泡堂", 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3)),
        # Four characters and one word of 5 units; 韩国 nexon are 3 of them.
        ("由韩国Nexon开发", "韩国nexon", 2 * (3 / 6) * 1 / (3 / 6 + 1)),
        # Not a common subsequence: 水 and 弹 stand apart in one of them.
        ("水炸弹", "水弹", 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),
        ("4分钟。", "4分钟", 1.0),
        ("", "踢爆", 0.0),
        ("踢", "爆", 0.0),
    ],
)
def test_f1_in_chinese(answer: str, right: str, expected: float) -> None:
    assert f1(answer, right, "zh") == pytest.approx(expected)


def test_contains_in_chinese() -> None:
    assert contains("答案是：“4 分钟”。", "4分钟", "zh")
    assert not contains("答案是：5分钟", "4分钟", "zh")
    assert not contains("答案", "。", "zh")


def test_the_best_of_several_right_answers() -> None:
    found = answer_metrics("Forty tonnes [1][12].", ["40 tonnes", "forty tonnes"], "en")
    assert found == {"exact_match": 1.0, "f1": 1.0, "contains": 1.0}
    assert answer_metrics("It lifts forty.", ["forty tonnes", "40"], "en") == {
        "exact_match": 0.0,
        "f1": pytest.approx(0.4),
        "contains": 0.0,
    }


def test_citations_are_taken_out() -> None:
    assert without_citations("It lifts [1] forty tonnes [2].") == "It lifts forty tonnes."


@given(st.text(), st.text(), st.sampled_from(["en", "zh"]))
def test_measures_lie_between_0_and_1_and_do_not_depend_on_the_side(one: str, other: str, language: str) -> None:
    assert 0.0 <= f1(one, other, language) <= 1.0
    assert f1(one, other, language) == pytest.approx(f1(other, one, language))
    assert exact_match(one, one, language)
    assert exact_match(one, other, language) == exact_match(other, one, language)
