"""Recall step `pipeline`: one step after the other."""

from __future__ import annotations

from typing import Any

import lazyllm
from lazyllm.tools.rag import Reranker

from confrag.build.steps.parts import Parts

__all__ = ["build"]


def build(parts: Parts, children: dict[str, Any]) -> Any:
    """LazyLLM's `pipeline`; a reranker in it is bound to the question, which is the pipeline's input."""
    with lazyllm.pipeline() as flow:
        for name, child in children.items():
            # A name such as `input` would hide an attribute of the flow.
            key = f"{name}_" if hasattr(flow, name) else name
            setattr(flow, key, child | lazyllm.bind(query=flow.input) if isinstance(child, Reranker) else child)
    return flow
