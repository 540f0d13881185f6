"""Answers to the very same request: sent again as they are, as long as the cache keeps what they were made of.

A hit of the cache takes less time than finding the route and reading the request, so that neither is done again.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from confrag.build.cache.policy import AnswerCache, Looked
from confrag.serve.metrics import Metrics

__all__ = ["AtHand", "remember"]

End = Callable[[float, str], str]
"""From the time that an answer took, in milliseconds, and the id of the request to the end of the answer's JSON."""

_PATHS = frozenset({"/api/ask", "/v1/chat/completions"})
"""Of the routes that call `remember`."""
_MOST_BYTES = 32 * 2**20
"""Of all requests and answers that are remembered."""
_LONGEST = 16 * 2**10
"""Bytes of a request and of an answer that are remembered, at most."""
_LONGEST_ANSWER = 256 * 2**10


class _Kept(NamedTuple):
    looked: Looked
    start: bytes
    end: End
    route: Any


def remember(request: Request, looked: Looked, answer: Mapping[str, Any], end: End) -> None:
    """Have the same request answered without its route from now on.

    Args:
        request: that was answered.
        looked: what the answer was made of.
        answer: what all such answers have in common; the very last of its numbers is the time that each takes.
        end: gives what comes after the beginning: that time, and the members that differ.
    """
    if keep := getattr(request.state, "remember", None):
        keep(looked, answer, end, request.scope["route"])


class AtHand:
    """ASGI: answers what it has, and passes everything else on.

    Args:
        app: what is behind it.
        metrics: where answers are counted.
        cache: of the engine; None while there is none.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, cache: Callable[[], AnswerCache | None]) -> None:
        self._app = app
        self._metrics = metrics
        self._cache = cache
        self._kept: OrderedDict[tuple[str, bytes], _Kept] = OrderedDict()
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _PATHS or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        first = await receive()
        whole = not first.get("more_body") and len(first.get("body", b"")) <= _LONGEST
        key = scope["path"], bytes(first.get("body", b"")) if whole else b""
        kept = self._kept.get(key)
        cache = self._cache()
        if kept is not None:
            if cache is not None and cache.still(kept.looked):
                await self._send(kept, scope, send, begun)
                return
            self._forget(key)
        if whole:
            scope["state"]["remember"] = partial(self._remember, key)
        await self._app(scope, _replayed(first, receive), send)

    def _remember(
        self, key: tuple[str, bytes], looked: Looked, answer: Mapping[str, Any], end: End, route: Any
    ) -> None:
        start = json.dumps(answer).rstrip("}").rstrip("0123456789.").encode()
        if len(start) > _LONGEST_ANSWER:
            return
        if key in self._kept:
            self._forget(key)
        self._kept[key] = _Kept(looked, start, end, route)
        self._bytes += len(key[1]) + len(start)
        while self._bytes > _MOST_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[str, bytes]) -> None:
        self._bytes -= len(key[1]) + len(self._kept.pop(key).start)

    async def _send(self, kept: _Kept, scope: Scope, send: Send, begun: float) -> None:
        scope["route"] = kept.route
        seconds = time.perf_counter() - begun
        body = kept.start + kept.end(seconds * 1000, scope["state"]["request_id"]).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._metrics.hit(seconds)


def _replayed(first: Message, receive: Receive) -> Receive:
    """`receive` that gives a message that was taken already once more."""
    messages = [first]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
