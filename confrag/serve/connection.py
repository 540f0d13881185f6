"""Answers that are worth the trouble only while their client waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

__all__ = ["while_connected"]

T = TypeVar("T")


async def while_connected(request: Request, answering: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives; it is cancelled when the client closes the connection.

    Args:
        request: whose body has been read.
        answering: makes the answer.

    Raises:
        ClientDisconnect: the client has gone.
    """
    answer, gone = asyncio.ensure_future(answering), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        for task in (answer, gone):
            task.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
