"""Checks of metadata in a configuration: what is declared, what is given, what is filtered by."""

from __future__ import annotations

import pytest

from confrag.config import load
from confrag.errors import ConfigError
from confrag.plan import Plan, compile_plan
from confrag.schema.filters import Condition

FIELDS = ("doc_fields.year=int", "doc_fields.subject=string", "doc_fields.tags={type: strings}")


def faults(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load("quickstart", [*FIELDS, *overrides])
    return [str(problem) for problem in caught.value.problems]


def planned(*overrides: str) -> Plan:
    _, config = load("quickstart", overrides)
    return compile_plan(config)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "doc_fields.file=string",
            "doc_fields.file = 'file': every document has a field of this name already; choose another",
        ),
        (
            "doc_fields.when=dat",
            "doc_fields.when.type = 'dat': must be one of: string, int, float, bool, date, strings. "
            "Did you mean 'date'?",
        ),
        (
            "corpus.metadata.old={glob: '*.md', values: {year: new}}",
            "corpus.metadata.old.values.year = 'new': must be a whole number of at most 63 bits; "
            "doc_fields declares it as int",
        ),
        (
            "retrievers.chunk.filters.subjct=x",
            "retrievers.chunk.filters.subjct: there is no field of this name to filter by; known: year, subject, tags, "
            "file (declare it in doc_fields). Did you mean 'subject'?",
        ),
        (
            "retrievers.chunk.filters.tags={gt: x}",
            "retrievers.chunk.filters.tags.gt: '>' is no operator of a field of type strings; allowed: contains, in, "
            "not in",
        ),
        (
            "filters.year=soon",
            "filters.year = 'soon': must be a whole number of at most 63 bits; the field 'year' is of type int",
        ),
    ],
)
def test_a_mistake_about_metadata(override: str, expected: str) -> None:
    assert expected in faults(override)


def test_a_name_of_a_field_is_a_word() -> None:
    (problem,) = faults("doc_fields.my-year=int")
    assert problem.startswith("doc_fields.my-year")
    assert "must match pattern '^[A-Za-z_][A-Za-z0-9_]*$'" in problem


def test_the_plan_holds_filters_in_their_canonical_form() -> None:
    given = "retrievers.chunk.filters={year: {gte: 2020}, subject: [b, a, b], tags: x}"
    metadata = "corpus.metadata.old={glob: '*.md', values: {year: 1}}"
    plan = planned(*FIELDS, given, metadata)
    assert plan.retriever("chunk").filters == (
        Condition("subject", "in", ("a", "b")),
        Condition("tags", "contains", "x"),
        Condition("year", ">=", 2020),
    )
    assert dict(plan.corpus.doc_fields) == {"year": "int", "subject": "string", "tags": "strings"}
    assert [(glob, dict(values)) for glob, values in plan.corpus.metadata] == [("*.md", {"year": 1})]


def test_only_a_declaration_makes_another_collection() -> None:
    plain = planned().collection
    filtered = ["filters.file=a.md", "retrievers.chunk.filters.file=a.md", "corpus.metadata.a.values.year=1"]
    assert planned(*filtered).collection == plain
    assert planned(*FIELDS).collection != plain
