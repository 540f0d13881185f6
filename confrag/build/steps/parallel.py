"""Recall step `parallel`: several branches at once, merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lazyllm

from confrag.build.route import Route
from confrag.build.steps.parts import Parts, top
from confrag.registry import builder

__all__ = ["build"]


def build(parts: Parts, children: dict[str, Any], *, merge: Mapping[str, Any], topk: int | None) -> Any:
    """LazyLLM's `parallel` with the merge rule behind it; all branches run at once."""
    # LazyLLM runs five branches at a time unless told how many there are.
    fan_out = lazyllm.parallel(*children.values(), _concurrent=len(children))
    weights = [parts.weights.get(child.route, 1.0) if isinstance(child, Route) else 1.0 for child in children.values()]
    rule = {key: value for key, value in merge.items() if key != "kind"}
    merged = builder("merges", merge["kind"])(fan_out, weights, **rule)
    return lazyllm.pipeline(merged, top(topk)) if topk else merged
