"""The web application: routers, middleware, OpenAPI, and the engine's life."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from confrag import __version__
from confrag.serve import api, documents, health, lazyllm_page, openai, page, problems, qa, tutorial
from confrag.serve.at_hand import AtHand
from confrag.serve.gate import Gate
from confrag.serve.security import Guard
from confrag.serve.service import Service

__all__ = ["create_app"]

_JSON_BYTES = 4 * 2**20
_MB = 2**20
_FILES_AT_ONCE = 10
"""Files of the largest size that fit into one request; smaller ones may be more."""


def create_app(service: Service, started: Callable[[Exception | None], None] | None = None) -> FastAPI:
    """The application of a worker.

    It answers as soon as it is up: ``/readyz`` with 503 until the engine, which starts in a thread, is ready.

    Args:
        service: what answers; it is started with the application unless it is so already, and closed with it.
        started: told from that thread when the engine is ready, or of the error that ended its start.
    """
    settings = service.settings
    guard = Guard(settings, service.tokens)
    limits = {"": _JSON_BYTES, "/upload_files": _FILES_AT_ONCE * settings.max_upload_mb * _MB}
    middleware = [Middleware(Gate, guard=guard, metrics=service.metrics, max_body=limits)]
    middleware.append(Middleware(AtHand, metrics=service.metrics, cache=lambda: service.cache_at_hand))
    if settings.cors_origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
        middleware.insert(0, cors)
    app = FastAPIOffline(
        title=service.name,
        version=__version__,
        description="Answers from documents, with their sources.",
        redoc_url=None,
        redirect_slashes=False,
        middleware=middleware,
        lifespan=_life(service, started),
        responses=dict(problems.DOCUMENTED),
    )
    problems.install(app)
    for part in (health, api, documents, qa, tutorial, openai):
        app.include_router(part.router(service))
    if settings.ui == "page":
        app.include_router(page.router())
    elif settings.ui == "lazyllm":
        lazyllm_page.mount(app, service)
    _secure_openapi(app)
    return app


def _life(service: Service, started: Callable[[Exception | None], None] | None) -> Any:
    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        def start() -> None:
            error: Exception | None = None
            try:
                service.start()
            except Exception as caught:  # noqa: BLE001 - told to who waits for the start
                error = caught
            if started:
                started(error)
            elif error:
                raise error

        # Threads of their own: those of the event loop's pool would be waited for at its end.
        starting = threading.Thread(target=start, name="confrag-start", daemon=True)
        starting.start()
        try:
            yield
        finally:
            closing = threading.Thread(target=_close, args=(service, starting), name="confrag-close")
            closing.start()
            while closing.is_alive():
                await asyncio.sleep(0.02)

    return life


def _close(service: Service, starting: threading.Thread) -> None:
    service.stop()
    starting.join()
    service.close()


def _secure_openapi(app: FastAPI) -> None:
    """Tell OpenAPI of the token, so that its page asks for it."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
