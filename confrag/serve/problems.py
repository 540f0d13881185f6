"""Errors as problem details (RFC 9457): one JSON object, of the same form whatever went wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from confrag.errors import ConfragError, NotFoundError, ServiceError, UserError, confrag_error
from confrag.serve.openai_errors import PREFIX, error_of

__all__ = ["DOCUMENTED", "MEDIA_TYPE", "ProblemError", "body_of", "install", "problem_of", "respond"]

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("confrag")


class ProblemError(HTTPException):
    """An error with its HTTP status; `detail` says what is wrong and what to do.

    Args:
        status: of the response.
        detail: for whoever made the request.
        headers: of the response, as ``Retry-After``.
        more: further members of the problem.
    """

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.more = more or {}


def problem_of(error: BaseException, request_id: str = "") -> ProblemError:
    """The problem that an error is to whoever made the request.

    What nobody has foreseen goes to the log, with its traceback; the problem does not tell what it was.
    """
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, HTTPException):
        return ProblemError(error.status_code, _plain(error), error.headers)
    if isinstance(error, RequestValidationError):
        wrong = [_wrong(details) for details in error.errors()]
        return ProblemError(422, "; ".join(wrong[:3]), more={"errors": wrong})
    known = error if isinstance(error, ConfragError) else confrag_error(error)
    if isinstance(known, NotFoundError):
        return ProblemError(404, str(known))
    if isinstance(known, UserError):
        return ProblemError(400, str(known))
    if isinstance(known, ServiceError):
        return ProblemError(503, str(known))
    _log.error("request %s failed", request_id, exc_info=error)
    if known:
        return ProblemError(500, str(known))
    return ProblemError(500, "the service failed; its log has more under the request's id")


def body_of(problem: ProblemError, path: str, request_id: str) -> dict[str, Any]:
    """The members of a problem.

    Args:
        path: of the request.
        request_id: by which the log knows it.
    """
    body = {
        "type": "about:blank",
        "title": _title(problem.status_code),
        "status": problem.status_code,
        "detail": problem.detail,
        "instance": path,
        "request_id": request_id,
        **problem.more,
    }
    return {**body, "error": error_of(body)} if path.startswith(PREFIX) else body


def respond(problem: ProblemError, path: str, request_id: str) -> Response:
    """A problem as a response."""
    # In ASCII, since a problem may repeat text of a request that is no Unicode: half a surrogate pair.
    content = json.dumps(body_of(problem, path, request_id)).encode("ascii")
    return Response(content, problem.status_code, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error that a route raises become a problem."""

    async def handle(request: Request, error: Exception) -> Response:
        request_id = request.state.request_id
        return respond(problem_of(error, request_id), request.url.path, request_id)

    for kind in (HTTPException, RequestValidationError, ConfragError):
        app.add_exception_handler(kind, handle)


def _schema() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer"}
    members = {"type": text, "title": text, "status": number, "detail": text, "instance": text, "request_id": text}
    errors = {"type": "array", "items": text, "description": "each mistake of a request that is not as described"}
    return {"type": "object", "required": list(members), "properties": {**members, "errors": errors}}


def _documented(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _schema()}}}


DOCUMENTED: Mapping[int | str, dict[str, Any]] = {
    422: _documented("The request is not as described"),
    "4XX": _documented("The request cannot be answered"),
    "5XX": _documented("The service cannot answer now"),
}
"""Responses of every route, for OpenAPI."""


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


_USUAL = {404: "there is nothing at this address", 405: "this address does not take the method of the request"}


def _plain(error: HTTPException) -> str:
    """What an error of the framework's says: more than the name of its status."""
    return _USUAL.get(error.status_code, error.detail) if error.detail == _title(error.status_code) else error.detail


def _wrong(details: Mapping[str, Any]) -> str:
    """One mistake: where, and what."""
    place: Sequence[Any] = details["loc"]
    where = ".".join(str(part) for part in place[1:]) or str(place[0])
    if details["type"] == "json_invalid":
        return f"the body is not JSON: {details.get('ctx', {}).get('error', '')}"
    if details["type"] == "model_attributes_type" and len(place) == 1:
        return f"{where}: a JSON object is expected, and the header Content-Type: application/json"
    message = str(details["msg"])
    return f"{where}: {message[0].lower()}{message[1:]}"
