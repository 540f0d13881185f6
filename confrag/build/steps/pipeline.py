"""Recall step `pipeline`: one step after the other."""

from __future__ import annotations

from typing import Any

import lazyllm

from confrag.build.steps.parts import Children, Parts

__all__ = ["build"]


def build(parts: Parts, children: Children) -> Any:
    """LazyLLM's `pipeline`; what works on nodes is bound to the question, as it was rewritten last."""
    with lazyllm.pipeline() as flow:
        first = next(iter(children.values()))
        question = flow.input if first.step.takes == "question" else flow.kwargs["query"]
        for name, child in children.items():
            # A name such as `input` would hide an attribute of the flow.
            key = f"{name}_" if hasattr(flow, name) else name
            # LazyLLM hands keywords such as `query` to the first step only.
            bound = child.step.takes == "nodes" and child is not first
            setattr(flow, key, child.built | lazyllm.bind(query=question) if bound else child.built)
            if child.step.gives == "question":
                question = flow.output(child.built)
    return flow
