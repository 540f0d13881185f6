"""Recall step `ifs`: one way or the other, by the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lazyllm

from confrag.build.conditions import holds
from confrag.build.steps.parts import Children, Parts

__all__ = ["build"]


def build(parts: Parts, children: Children, *, when: Mapping[str, Any]) -> Any:
    """LazyLLM's `ifs`."""
    then, otherwise = children["then"], children.get("else")
    retrieves = (then.step.takes, then.step.gives) == ("question", "nodes")

    def condition(given: Any, query: str | None = None) -> bool:
        return holds(when, given if query is None else query)

    def unchanged(given: Any, query: str | None = None) -> Any:
        return [] if retrieves else given

    return lazyllm.ifs(condition, then.built, otherwise.built if otherwise else unchanged)
