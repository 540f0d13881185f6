"""What every request passes on its way in, and every response on its way out; one layer, since each costs time."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from confrag.serve.metrics import Metrics
from confrag.serve.problems import ProblemError, problem_of, respond
from confrag.serve.security import Guard, request_id_of

__all__ = ["Gate"]

_GONE = 499
"""As nginx counts requests whose client did not wait."""
_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_COMMON = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def _raw(policy: str) -> tuple[tuple[bytes, bytes], ...]:
    headers = {**_COMMON, "content-security-policy": policy}
    return tuple((name.encode(), value.encode()) for name, value in headers.items())


_HEADERS = _raw(_POLICY.format(scripts="", styles=""))
# The documentation of FastAPI has a script of its own in its page.
_DOCS_HEADERS = _raw(_POLICY.format(scripts=" 'unsafe-inline'", styles=" 'unsafe-inline'"))
# LazyLLM's page is gradio's, with scripts and styles in its HTML and icons in its style sheets.
_LAZYLLM_HEADERS = _raw(
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data: "
    "blob:; font-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
_NO_STORE = (b"cache-control", b"no-store")


def _headers_of(path: str) -> tuple[tuple[bytes, bytes], ...]:
    if path == "/docs":
        return _DOCS_HEADERS
    return _LAZYLLM_HEADERS if path.startswith("/lazyllm/") else _HEADERS


class Gate:
    """ASGI middleware: the request's id, the guard, the size of the body, headers, figures, and unforeseen errors.

    Args:
        app: what is behind it.
        guard: decides who may pass.
        metrics: where requests are counted.
        max_body: bytes of a body, by its path; the entry ``""`` holds for all others.
    """

    def __init__(self, app: ASGIApp, guard: Guard, metrics: Metrics, max_body: dict[str, int]) -> None:
        self._app = app
        self._guard = guard
        self._metrics = metrics
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        request_id, role = request_id_of(headers), self._guard.role(headers)
        scope.setdefault("state", {}).update(request_id=request_id, role=role)
        path = str(scope["path"])
        extra = [*_headers_of(path), (b"x-request-id", request_id.encode())]
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                own = message.get("headers", ())
                message["headers"] = [*own, *extra, *([] if _NO_STORE[0] in dict(own) else [_NO_STORE])]
            await send(message)

        try:
            self._guard.check(scope, headers, role)
            await self._app(scope, self._limited(receive, headers, path), sending)
        except ClientDisconnect:
            status = status or _GONE
        except asyncio.CancelledError:
            # The server ends what is not finished within `shutdown_s`, and then itself.
            if status:
                await send({"type": "http.response.body", "body": b""})
            else:
                late = ProblemError(503, "the service was shut down before there was an answer")
                await respond(late, path, request_id)(scope, receive, sending)
        except Exception as error:
            if status:
                raise  # it is too late to say it; the server ends the connection
            await respond(problem_of(error, request_id), path, request_id)(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.request(str(scope["method"]), route, status or _GONE, time.perf_counter() - begun)

    def _limited(self, receive: Receive, headers: dict[bytes, bytes], path: str) -> Receive:
        """`receive` that ends with 413 when the body is larger than it may be, however it comes."""
        most, got = self._max_body.get(path, self._max_body[""]), 0
        too_large = ProblemError(413, f"the body of the request is larger than {most // 2**20} MB")
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > most:
            raise too_large

        async def receiving() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > most:
                raise too_large
            return message

        return receiving
