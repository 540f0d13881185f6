"""Filters: one canonical form of what a user writes, and messages that say what is allowed."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.build import prepare
from confrag.config.overrides import normalize
from confrag.errors import UserError
from confrag.plan.model import canonical
from confrag.schema.doc_fields import RESERVED, as_type, shown
from confrag.schema.filters import WORDS, Condition, joined, parse, problems_of

prepare()

from confrag.build.stores.filters import milvus_filter, satisfiable, sql_filter, where_filter  # noqa: E402

TYPES = {"s": "string", "n": "int", "x": "float", "b": "bool", "d": "date", "l": "strings"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"s": "a"}, {"s": {"==": "a"}}),
        ({"s": "a"}, {"s": ["a", "a"]}),
        ({"s": "a"}, {"s": {"eq": "a"}}),
        ({"s": ["b", "a"]}, {"s": {"in": ("a", "b", "a")}}),
        ({"s": {"!=": "a"}}, {"s": {"not in": ["a"]}}),
        ({"l": "a"}, {"l": {"contains": "a"}}),
        ({"l": "a"}, {"l": ["a"]}),
        ({"n": {">": 1, "<=": 5}}, {"n": {"lte": 5, "gt": 1}}),
        ({"x": 1}, {"x": 1.0}),
        ({"d": date(2020, 2, 3)}, {"d": "2020-02-03"}),
        ({"s": "e\u0301 \t\n b\0 "}, {"s": "é b"}),
        ({"s": "a", "n": 1}, {"n": 1, "s": "a"}),
    ],
)
def test_filters_that_mean_the_same_are_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert parse(one, TYPES) == parse(other, TYPES)
    assert hash(parse(one, TYPES)) == hash(parse(other, TYPES))
    assert canonical(parse(one, TYPES)) == canonical(parse(other, TYPES))


def test_the_canonical_form() -> None:
    raw = {"n": {">=": 1, "!=": 3}, "l": {"not in": ["b", "a"]}, "d": "2020-02-03", "file": ["b.md", "a.md"]}
    assert parse(raw, TYPES) == (
        Condition("d", "==", 20200203),
        Condition("file", "in", ("a.md", "b.md")),
        Condition("l", "contains none", ("a", "b")),
        Condition("n", "!=", 3),
        Condition("n", ">=", 1),
    )


def test_the_name_of_a_file_is_taken_as_it_is() -> None:
    name = "e\u0301  \u3000b\n.md"
    assert parse({"file": name}, {}) == (Condition("file", "==", name),)


def test_joined_filters_hold_together() -> None:
    one, other = parse({"n": {">": 1}}, TYPES), parse({"n": {"<": 5}, "s": "a"}, TYPES)
    assert joined(one, other, one) == joined(other, one) == parse({"s": "a", "n": {">": 1, "<": 5}}, TYPES)
    assert joined() == joined((), ()) == ()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"yeer": 1},
            "filters.yeer: there is no field of this name to filter by; known: s, n, x, b, d, l, file (declare it in "
            "doc_fields)",
        ),
        ({"fil": "a"}, "Did you mean 'file'?"),
        (
            {"s": {"contain": "a"}},
            "filters.s.contain: 'contain' is no operator of a field of type string; allowed: ==, !=, in, not in",
        ),
        ({"l": {"contain": "a"}}, "allowed: contains, in, not in. Did you mean 'contains'?"),
        ({"b": {">": True}}, "'>' is no operator of a field of type bool; allowed: ==, !=, in, not in"),
        ({"n": {}}, "filters.n: names no operator; allowed: ==, !=, in, not in, >, >=, <, <="),
        (
            {"n": {">=": "a"}},
            "filters.n.>= = 'a': must be a whole number of at most 63 bits; the field 'n' is of type int",
        ),
        ({"n": True}, "filters.n = True: must be a whole number"),
        ({"n": 1.0}, "filters.n = 1.0: must be a whole number"),
        ({"n": 2**63}, "must be a whole number of at most 63 bits"),
        ({"x": "1"}, "filters.x = '1': must be a number; the field 'x' is of type float"),
        ({"x": float("nan")}, "must be a finite number"),
        ({"x": 10**400}, "must be a finite number"),
        ({"b": 1}, "filters.b = 1: must be true or false; the field 'b' is of type bool"),
        ({"s": 1}, "filters.s = 1: must be a text (quote it); the field 's' is of type string"),
        ({"s": None}, "filters.s = None: must be a text (quote it)"),
        ({"d": "2020-2-3"}, "filters.d = '2020-2-3': must be a date, YYYY-MM-DD; the field 'd' is of type date"),
        ({"d": "2020-02-30"}, "must be a date that exists (day is out of range for month)"),
        ({"d": datetime(2020, 2, 3)}, "must be a date, YYYY-MM-DD"),
        ({"l": {"contains": ["a"]}}, "filters.l.contains = ['a']: must be a text"),
        ({"s": {"in": "abc"}}, "filters.s.in = 'abc': 'in' takes a list of values; the field 's' is of type string"),
        ({"n": list(range(1001))}, "1,001 values; at most 1,000"),
        ({"file": 1}, "filters.file = 1: must be a text"),
        ({"file": "a\0"}, "must be the name of a file"),
        ({"file": "a\ud800"}, "must be the name of a file"),
    ],
)
def test_a_filter_that_cannot_be(raw: dict[str, Any], message: str) -> None:
    (problem,) = problems_of(raw, TYPES)
    assert message in str(problem)
    with pytest.raises(UserError) as caught:
        parse(raw, TYPES)
    assert str(caught.value) == str(problem)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        parse({"n": {">": "a", "<": "b"}, "q": 1}, TYPES, "retrievers.chunk.filters")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "retrievers.chunk.filters.n.> = 'a'",
        "retrievers.chunk.filters.n.< = 'b'",
        "retrievers.chunk.filters.q",
    ]


@given(st.text() | st.lists(st.text()))
def test_no_text_of_a_filter_holds_a_control_character_or_half_a_character(value: str | list[str]) -> None:
    for condition in parse({"s": value}, TYPES):
        for text in condition.value if isinstance(condition.value, tuple) else [condition.value]:
            assert isinstance(text, str)
            assert text.encode().decode() == text
            assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in text)
            assert as_type(text, "string") == text


@given(st.dates())
def test_dates_are_in_order_and_come_back(day: date) -> None:
    stored = as_type(day, "date")
    assert shown(stored, "date") == day.isoformat()
    assert as_type(day.isoformat(), "date") == stored
    assert (stored < as_type("2000-01-01", "date")) == (day < date(2000, 1, 1))


def test_a_filter_that_nothing_can_match() -> None:
    assert satisfiable(parse({"s": {"not in": []}, "n": 1}, TYPES))
    assert not satisfiable(parse({"s": [], "n": 1}, TYPES))
    assert not satisfiable(parse({"l": []}, TYPES))


def test_the_languages_of_the_stores() -> None:
    filters = parse({"s": 'a" or 1==1', "n": {"!=": 3}}, TYPES)
    assert milvus_filter(filters) == (
        '(doc_fields["n?"] == true and doc_fields["n"] != 3) and (doc_fields["s"] == "a\\" or 1==1")'
    )
    assert where_filter(filters) == {"$and": [{"n?": True}, {"n": {"$ne": 3}}, {"s": {"$eq": 'a" or 1==1'}}]}
    assert sql_filter(filters, "rest") == (
        "(json_extract(rest, ?) != json_extract(?, '$[0]')) AND (json_extract(rest, ?) == json_extract(?, '$[0]'))",
        ["$.global_meta.n", "[3]", "$.global_meta.s", '["a\\" or 1==1"]'],
    )
    assert (milvus_filter(()), where_filter(())) == ("", None)


def test_names_that_are_taken_are_those_of_lazyllm() -> None:
    from lazyllm.tools.rag.global_metadata import RAG_SYSTEM_META_KEYS
    from lazyllm.tools.rag.store.store_base import BUILDIN_GLOBAL_META_DESC

    assert RAG_SYSTEM_META_KEYS | BUILDIN_GLOBAL_META_DESC.keys() | {"file"} == RESERVED


@pytest.mark.parametrize("sign", WORDS)
def test_a_command_line_takes_every_operator(sign: str) -> None:
    assert normalize([f'filters.n={{"{sign}": 3}}'], []) == [f"++filters.n={{{WORDS[sign]}:3}}"]
