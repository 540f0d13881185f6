"""The registry: kinds by name, and kinds of a user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import Field

import confrag
from confrag.config import load
from confrag.errors import ConfigError, UserError
from confrag.plan import compile_plan
from confrag.registry import FAMILIES, builder, rebuild, register
from confrag.schema.base import Family, Kind, Spec
from confrag.schema.models import ModelSpec
from confrag.schema.nodes import TransformSpec
from confrag.schema.steps import StepSpec


class ParagraphSpec(TransformSpec):
    """A piece for each paragraph."""

    kind: Literal["paragraph"]
    min_chars: int = Field(0, strict=True, ge=0)


def paragraph(min_chars: int) -> Any:
    return min_chars


@pytest.fixture
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test registers."""
    family = FAMILIES["transforms"]
    kinds = dict(family._kinds)
    yield
    family._kinds.clear()
    family._kinds.update(kinds)
    rebuild()


def test_a_kind_by_name() -> None:
    assert "milvus" in FAMILIES["stores"]
    assert FAMILIES["transforms"]["split"].summary == "A piece at each separator, empty pieces left out."


def test_a_kind_that_is_not_there() -> None:
    with pytest.raises(UserError) as caught:
        builder("merges", "rff")
    assert str(caught.value) == "unknown merge rule 'rff'; known: concat, rrf, weighted, priority. Did you mean 'rrf'?"


def test_a_name_is_taken_once() -> None:
    family = Family("thing")
    kind = Kind("a", ParagraphSpec, "m:f", "")
    family.add(kind)
    family.add(kind)
    with pytest.raises(UserError) as caught:
        family.add(Kind("a", ParagraphSpec, "m:g", ""))
    assert str(caught.value) == "thing 'a' is registered already"
    assert family.names == ("a",)


def test_a_family_that_is_not_there() -> None:
    with pytest.raises(UserError) as caught:
        register("transform", "x", ParagraphSpec, "m:f")
    known = "stores, transforms, indices, caches, cache_backends, models, steps, merges"
    assert str(caught.value) == f"unknown family 'transform'; known: {known}"


@pytest.mark.usefixtures("_clean")
def test_a_kind_of_ones_own_is_validated_and_planned() -> None:
    override = "node_groups.MediumChunk.transform={kind: paragraph, min_chars: 5}"
    with pytest.raises(ConfigError, match="must be one of: sentence_splitter, recursive, markdown, split"):
        load("map", [override])
    confrag.register("transforms", "paragraph", ParagraphSpec, paragraph)
    assert FAMILIES["transforms"]["paragraph"].summary == "A piece for each paragraph."
    assert builder("transforms", "paragraph") is paragraph
    _, config = load("map", [override])
    (group,) = compile_plan(config).groups
    assert (group.kind, group.params) == ("paragraph", {"min_chars": 5})
    with pytest.raises(ConfigError) as caught:
        load("map", [override.replace("5", "-5")])
    assert [problem.path for problem in caught.value.problems] == ["node_groups.MediumChunk.transform.min_chars"]


def test_specifications_are_frozen_and_closed() -> None:
    spec = ParagraphSpec(kind="paragraph")
    with pytest.raises(ValueError, match="frozen"):
        spec.min_chars = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        ParagraphSpec(kind="paragraph", other=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_is_described_and_names_itself(family: str) -> None:
    for kind in FAMILIES[family]:
        assert kind.summary
        assert issubclass(kind.spec, Spec)
        assert FAMILIES[family].tag in kind.spec.model_fields
        if issubclass(kind.spec, ModelSpec):
            assert "role" in kind.spec.model_fields


class EchoSpec(StepSpec):
    """Gives what it gets."""

    kind: Literal["echo"]


def test_a_step_that_comes_late_is_known_at_any_depth() -> None:
    steps = FAMILIES["steps"]
    kinds = dict(steps._kinds)
    inner = "{kind: pipeline, steps: {a: {kind: ifs, when: {chars: {min: 1}}, then: {kind: echo}}}}"
    override = f"+recall.steps.late={inner}"
    with pytest.raises(UserError, match="'echo': must be one of"):
        load("map", [override])
    try:
        register("steps", "echo", EchoSpec, "m:f")
        load("map", [override])
    finally:
        steps._kinds.clear()
        steps._kinds.update(kinds)
        rebuild()
    with pytest.raises(UserError, match="'echo': must be one of"):
        load("map", [override])
