"""Steps that work on nodes, and conditions on questions."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.build import prepare

prepare()

from lazyllm.tools.rag import DocNode  # noqa: E402

from confrag.build.conditions import holds, language, words  # noqa: E402
from confrag.build.ranking import scored  # noqa: E402
from confrag.build.steps import keyword, mmr, score_threshold  # noqa: E402
from confrag.build.steps.parts import Parts  # noqa: E402
from confrag.build.trace import Trace, tracing  # noqa: E402
from confrag.schema.filters import parse  # noqa: E402

PARTS = Parts({}, {}, {}, ExitStack())


def nodes(*texts: str) -> list[DocNode]:
    return [DocNode(uid=f"n{number}", text=text, group="g") for number, text in enumerate(texts)]


def kept(step: Any, found: list[DocNode]) -> list[str]:
    return [node.text for node in step(found, query="?")]


@pytest.mark.parametrize(
    ("required", "excluded", "expected"),
    [
        (["RAG"], [], ["a RAG system", "rag"]),
        ([], ["rag"], ["storage", "检索增强", "two  words here"]),
        (["检索"], [], ["检索增强"]),
        (["two words"], [], ["two  words here"]),
        (["rag", "storage"], ["system"], ["storage", "rag"]),
    ],
)
def test_keywords_are_whole_words(required: list[str], excluded: list[str], expected: list[str]) -> None:
    step = keyword.build(PARTS, {}, required=required, excluded=excluded, ignore_case=True)
    found = nodes("a RAG system", "storage", "检索增强", "two  words here", "rag")
    assert kept(step, found) == expected


def test_keywords_with_case() -> None:
    step = keyword.build(PARTS, {}, required=["RAG"], excluded=[], ignore_case=False)
    assert kept(step, nodes("RAG", "rag")) == ["RAG"]


def test_two_keyword_filters_do_not_share_their_words() -> None:
    keyword.build(PARTS, {}, required=["tea"], excluded=[], ignore_case=True)
    step = keyword.build(PARTS, {}, required=["coffee"], excluded=[], ignore_case=True)
    assert kept(step, nodes("tea", "coffee")) == ["coffee"]


def test_a_threshold_is_for_the_score_of_the_last_step() -> None:
    step = score_threshold.build(PARTS, {}, at_least=0.5)
    low, high, edge = nodes("low", "high", "edge")
    low.similarity_score, high.similarity_score, edge.similarity_score = 0.9, 0.1, 0.5
    scored(low, 0.2)  # a reranker thought less of it
    scored(high, 7.0)
    assert kept(step, [low, high, edge]) == ["high", "edge"]


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.floats(0, 1))
def test_mmr_chooses_as_its_definition_says(seed: int, count: int, relevance: float) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(6, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[0]
    chosen: list[int] = []
    for _ in range(min(count, 6)):
        left = [row for row in range(6) if row not in chosen]

        def value(row: int) -> float:
            other = max((float(vectors[row] @ vectors[done]) for done in chosen), default=0.0)
            return relevance * float(vectors[row] @ query) - (1 - relevance) * other

        best = max(value(row) for row in left)
        mine = mmr.select(query, vectors, len(chosen) + 1, relevance)[-1]
        assert value(mine) == pytest.approx(best, abs=1e-5)
        chosen.append(mine)


def test_mmr_leaves_out_what_says_the_same() -> None:
    table = {"q": [1.0, 0.0], "near": [1.0, 0.0], "copy": [1.0, 0.0], "other": [0.6, 0.8]}

    def embed(text: str | list[str]) -> Any:
        return table[text] if isinstance(text, str) else [table[one] for one in text]

    step = mmr.build(Parts({}, {}, {"embed": embed}, ExitStack()), {}, model="embed", topk=2, relevance=0.4)
    assert [node.text for node in step(nodes("near", "copy", "other"), query="q")] == ["near", "other"]
    assert step([], query="q") == []


@pytest.mark.parametrize(
    ("when", "question", "expected"),
    [
        ({"chars": {"min": 3, "max": None}}, "ab", False),
        ({"chars": {"min": 0, "max": 3}}, "abc", True),
        ({"words": {"min": 0, "max": 2}}, "two words", True),
        ({"words": {"min": 0, "max": 2}}, "三个字", False),
        ({"language": "zh"}, "什么是 RAG 系统？", True),
        ({"language": "zh"}, "What is 检索 in English?", False),
        ({"language": "en"}, "12 + 30", True),
        ({"pattern": "^[A-Z]{2}-\\d+"}, "AB-12 is broken", True),
        ({"pattern": "^\\d+$"}, "AB", False),
        ({"language": "en", "chars": {"min": 0, "max": 2}}, "long", False),
        ({"language": None, "pattern": "x"}, "x", True),
    ],
)
def test_conditions(when: dict[str, Any], question: str, expected: bool) -> None:
    assert holds(when, question) is expected


def test_words_of_both_languages() -> None:
    assert words("LazyLLM 是一个 low-code 框架") == 8
    assert language("") == "en"


def test_a_condition_on_the_filter_of_a_question() -> None:
    with tracing(Trace(filters=parse({"year": 2020, "subject": "x"}, {"year": "int", "subject": "string"}))):
        assert holds({"filtered_by": ["year"]}, "?")
        assert not holds({"filtered_by": ["year", "author"]}, "?")
    assert not holds({"filtered_by": ["year"]}, "?")
