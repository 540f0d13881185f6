"""Recall step `retrieve`: one route."""

from __future__ import annotations

from typing import Any

from confrag.build.steps.parts import Children, Parts

__all__ = ["build"]


def build(parts: Parts, children: Children, *, retriever: str) -> Any:
    """The route itself."""
    return parts.routes[retriever]
