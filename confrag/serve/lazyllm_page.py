"""``serve.ui=lazyllm``: the page of LazyLLM's WebModule, below ``/lazyllm``."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.routing import Mount

from confrag.errors import MissingDependencyError, UserError
from confrag.plan import draw
from confrag.runtime.results import Answer, Hit
from confrag.schema.history import History
from confrag.schema.serve import ServeSpec
from confrag.serve.problems import problem_of
from confrag.serve.security import Tokens, is_loopback
from confrag.serve.service import Service

__all__ = ["check_page", "mount"]

_PATH = "/lazyllm"
_SOURCES = "\n\n---\n\n**Sources**\n\n"
_SHOWN = 300
"""Characters of a source."""
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_POLL_S = 0.1


def check_page(settings: ServeSpec, tokens: Tokens) -> None:
    """Say what LazyLLM's page cannot do, before anything heavy is loaded.

    Raises:
        UserError: its requests carry no token, so that it can only be shown on this machine and without one; its state
            lies in one process.
        MissingDependencyError: gradio is not installed.
    """
    if settings.ui != "lazyllm":
        return
    if not is_loopback(settings.host):
        raise UserError(
            f"serve.ui = 'lazyllm', serve.host = {settings.host!r}: LazyLLM's page sends no token, so that everybody "
            "who reaches it could ask. Take serve.host=127.0.0.1, or the page that does: serve.ui=page"
        )
    if tokens.needed:
        names = (settings.read_token_env, settings.write_token_env)
        name = next(name for name, token in zip(names, (tokens.read, tokens.write), strict=True) if token)
        raise UserError(
            f"serve.ui = 'lazyllm': LazyLLM's page sends no token, and {name} holds one. Unset it, or take the page "
            "that asks for it: serve.ui=page"
        )
    if settings.workers > 1:
        raise UserError(
            f"serve.ui = 'lazyllm', serve.workers = {settings.workers}: the state of LazyLLM's page lies in one "
            "process. Set serve.workers=1, or take serve.ui=page"
        )
    if find_spec("gradio") is None:
        raise MissingDependencyError("gradio", 'pip install "confrag[web]"', "serve.ui=lazyllm")


def mount(app: FastAPI, service: Service) -> None:
    """Add the page to an application, and lead ``/`` to it. Raises what `web_page` does."""
    from confrag.runtime.web_module import web_page

    loop: asyncio.AbstractEventLoop

    def ask(query: str, history: History) -> str:
        said = tuple({**turn, "content": _as_said(turn["content"])} for turn in history)
        try:
            answer = asyncio.run_coroutine_threadsafe(service.ask(query, history=said), loop).result()
        except Exception as error:  # noqa: BLE001 - it is shown in the place of an answer
            return _as_text(problem_of(error).detail)
        return _shown(answer)

    plan = service.app.compiled
    folder = Path(plan.state_dir).expanduser().absolute() / "gradio"
    page = web_page(ask, service.name, draw(plan, "text"), folder)
    # Admission is the service's: nothing waits here.
    page.queue(default_concurrency_limit=None, max_size=service.settings.max_concurrency + service.settings.queue)
    import gradio

    gradio.mount_gradio_app(app, page, _PATH, max_file_size=1, enable_monitoring=False, show_error=True)
    stopping: asyncio.Event = next(
        route.app.stop_event  # type: ignore[attr-defined]
        for route in app.routes
        if isinstance(route, Mount) and route.path == _PATH
    )
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[Any]:
        nonlocal loop
        loop = asyncio.get_running_loop()
        watching = asyncio.create_task(_let_go(service, stopping))
        async with inner(app) as state:
            yield state
        watching.cancel()

    app.router.lifespan_context = life

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    @app.api_route(_PATH, methods=["GET", "HEAD"], include_in_schema=False)
    def front() -> RedirectResponse:
        return RedirectResponse(f"{_PATH}/")


async def _let_go(service: Service, stopping: asyncio.Event) -> None:
    """End the connection that each open page holds, when the service ends: it would be waited for."""
    while service.state != "closing":
        await asyncio.sleep(_POLL_S)
    stopping.set()


def _shown(answer: Answer) -> str:
    """An answer, and its sources below it; nothing from a document is more than text on the page."""
    return _as_text(answer.text) + (_SOURCES + _listed(answer.sources) if answer.sources else "")


def _as_text(answer: str) -> str:
    """An answer as Markdown without HTML and images: WebModule would fetch what these show, or read it from disk."""
    return html.escape(answer).replace("![", "!\\[")


def _as_said(shown: str) -> str:
    """What was said, of what was shown."""
    return html.unescape(shown.partition(_SOURCES)[0].replace("!\\[", "!["))


def _listed(sources: Sequence[Hit]) -> str:
    return "\n".join(f"{number}. **{_plain(hit.file)}**: {_plain(hit.text)}" for number, hit in enumerate(sources, 1))


def _plain(text: str) -> str:
    """The beginning of a text, in one line, without a meaning in Markdown."""
    line = " ".join(text.split())
    line = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
    return _PUNCTUATION.sub(r"\\\1", line)
