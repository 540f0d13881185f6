"""What is wrong with a cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from confrag.config.raw import Raw, by_role, table, unknown
from confrag.config.vectors import sort_of_vectors
from confrag.errors import Problem

__all__ = ["cache"]


def cache(raw: Raw) -> Iterator[Problem]:
    """The server's address is in the environment, and the embedding model of near questions exists."""
    declared = raw.get("cache")
    if not isinstance(declared, Mapping):
        return
    if declared.get("kind") == "semantic" and isinstance(name := declared.get("model", "embed"), str):
        known = by_role(raw, "embed")
        if name not in known:
            yield unknown("cache.model", name, "model with the role 'embed'", known)
        elif sort_of_vectors(table(raw, "models")[name]) == "sparse":
            yield Problem(
                "cache.model", "near questions are told by dense vectors, and this model gives sparse ones", name
            )
    backend = declared.get("backend")
    kind = backend.get("kind") if isinstance(backend, Mapping) else backend
    if declared.get("kind") in ("exact", "semantic") and kind == "redis":
        given = backend.get("url_env") if isinstance(backend, Mapping) else None
        variable = given if isinstance(given, str) else "CONFRAG_REDIS_URL"
        if not os.environ.get(variable):
            yield Problem("cache.backend.url_env", f"the environment variable {variable} is not set", variable)
        if find_spec("redis") is None:
            yield Problem(
                "cache.backend",
                "needs the package 'redis', which is not installed. Install it with: pip install \"confrag[redis]\"",
                "redis",
            )
