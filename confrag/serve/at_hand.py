"""Answers to the very same request: sent again as they are, as long as the cache keeps what they were made of.

A hit of the cache takes less time than finding the route and reading the request, so that neither is done again.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from confrag.build.cache.policy import AnswerCache, Looked
from confrag.serve.metrics import Metrics

__all__ = ["AtHand"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PATH = "/api/ask"
_MOST_BYTES = 32 * 2**20
"""Of all requests and answers that are remembered."""
_LONGEST = 16 * 2**10
"""Bytes of a request and of an answer that are remembered, at most."""
_LONGEST_ANSWER = 256 * 2**10
_OWN = ("timings_ms", "request_id")
"""Members of an answer that differ from one request to the next; they come last."""


class _Kept(NamedTuple):
    looked: Looked
    start: bytes
    route: Any


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
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._bytes = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        first = await receive()
        whole = not first.get("more_body") and len(first.get("body", b"")) <= _LONGEST
        body = bytes(first.get("body", b"")) if whole else b""
        kept = self._kept.get(body)
        cache = self._cache()
        if kept is not None:
            if cache is not None and cache.still(kept.looked):
                await self._send(kept, scope, send, begun)
                return
            self._forget(body)
        if whole:
            scope["state"]["remember"] = lambda answer, looked, route: self._remember(body, answer, looked, route)
        await self._app(scope, _replayed(first, receive), send)

    def _remember(self, body: bytes, answer: Mapping[str, Any], looked: Looked, route: Any) -> None:
        same = {key: value for key, value in answer.items() if key not in _OWN}
        # All of it but what `_send` adds: the last number of the times, and the id.
        start = json.dumps({**same, "timings_ms": {**answer["timings_ms"], "total": 0}}).removesuffix("0}}").encode()
        if len(start) > _LONGEST_ANSWER:
            return
        if body in self._kept:
            self._forget(body)
        self._kept[body] = _Kept(looked, start, route)
        self._bytes += len(body) + len(start)
        while self._bytes > _MOST_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, body: bytes) -> None:
        self._bytes -= len(body) + len(self._kept.pop(body).start)

    async def _send(self, kept: _Kept, scope: MutableMapping[str, Any], send: Send, begun: float) -> None:
        scope["route"] = kept.route
        seconds = time.perf_counter() - begun
        # Ids are plain characters (`request_id_of`), so that they need no encoder.
        body = b'%s%.3f}, "request_id": "%s"}' % (kept.start, seconds * 1000, scope["state"]["request_id"].encode())
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
