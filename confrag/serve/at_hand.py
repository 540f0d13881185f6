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
_MOST = 4096
_LONGEST = 16 * 2**10
"""Bytes of a request and of an answer that are remembered, at most."""
_LONGEST_ANSWER = 256 * 2**10
_OWN = ("timings_ms", "request_id")
"""Members of an answer that differ from one request to the next; they come last."""


class _Kept(NamedTuple):
    looked: Looked
    start: bytes
    stages: Mapping[str, float]
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
            del self._kept[body]
        if whole:
            scope["state"]["remember"] = lambda answer, looked, route: self._remember(body, answer, looked, route)
        await self._app(scope, _replayed(first, receive), send)

    def _remember(self, body: bytes, answer: Mapping[str, Any], looked: Looked, route: Any) -> None:
        start = json.dumps({key: value for key, value in answer.items() if key not in _OWN})[:-1].encode()
        if len(start) > _LONGEST_ANSWER:
            return
        self._kept[body] = _Kept(looked, start, answer["timings_ms"], route)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    async def _send(self, kept: _Kept, scope: MutableMapping[str, Any], send: Send, begun: float) -> None:
        scope["route"] = kept.route
        seconds = time.perf_counter() - begun
        timings = {**kept.stages, "total": round(seconds * 1000, 3)}
        own = {"timings_ms": timings, "request_id": scope["state"]["request_id"]}
        body = b"%s, %s" % (kept.start, json.dumps(own)[1:].encode())
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
