"""Errors as OpenAI's clients understand them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PREFIX", "error_of"]

PREFIX = "/v1/"
"""Of the paths that OpenAI's clients ask."""
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def error_of(problem: Mapping[str, Any]) -> dict[str, Any]:
    """The member `error` of a problem; by `param` and `code` of the problem, where it has these.

    Args:
        problem: the members of a problem, see `confrag.serve.problems.body_of`.
    """
    status = problem["status"]
    return {
        "message": problem["detail"],
        "type": _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "param": problem.get("param"),
        "code": problem.get("code", _CODES.get(status)),
    }
