"""Recall step `retrieve`: one route."""

from __future__ import annotations

from typing import Any

from confrag.build.steps.parts import Parts

__all__ = ["build"]


def build(parts: Parts, children: dict[str, Any], *, retriever: str) -> Any:
    """The route itself."""
    return parts.route(retriever)
