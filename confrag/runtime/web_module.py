"""LazyLLM's own web page over an engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lazyllm import ModuleBase
from lazyllm import globals as session

from confrag.build.private.sessions import web_module
from confrag.schema.history import History

__all__ = ["Ask", "web_page"]

Ask = Callable[[str, History], str]
"""Answers a question after what was said before it, in Markdown."""

_ROLES = ("user", "assistant")
_SETTINGS = {"ANALYTICS_ENABLED": "False", "MCP_SERVER": "False", "RUN_HISTORY": "False", "SSR_MODE": "False"}


def web_page(ask: Ask, title: str, graph: str, folder: Path) -> Any:
    """The page of LazyLLM's WebModule, to be mounted into an application.

    It is not started: a WebModule of its own would listen to the whole network.

    Args:
        ask: answers; called in threads, several at once.
        title: of the page.
        graph: drawn on the page.
        folder: where gradio puts what it has to put somewhere.

    Returns:
        A ``gradio.Blocks``.

    Raises:
        ImportError: gradio is not installed.
        ValueError: called in another thread than the main one, the only one that may set signal handlers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    for name, value in _SETTINGS.items():  # read when it is imported, or at each use
        os.environ[f"GRADIO_{name}"] = value
    import gradio

    engine = _Engine(ask, graph)
    with _signals_kept():
        page = web_module()(engine, title=title, history=[engine]).demo
    for block in page.blocks.values():
        if isinstance(block, gradio.MultimodalTextbox):
            block.sources = []  # no button for files: nobody would read them
        elif isinstance(block, gradio.Chatbot):
            block.buttons = ["copy", "copy_all"]  # none that shares a conversation on somebody's site
    return page


class _Engine(ModuleBase):  # type: ignore[misc]
    """The engine as a module of LazyLLM."""

    def __init__(self, ask: Ask, graph: str) -> None:
        super().__init__()
        self._ask, self._graph = ask, graph

    def forward(self, query: str, **_: Any) -> str:
        # Pairs of what user and assistant said, of this module, the only one; none unless context is wanted.
        pairs: list[list[str]] = next(iter(session["chat_history"].values()), [])
        turns = [zip(_ROLES, pair, strict=True) for pair in pairs]
        return self._ask(query, tuple({"role": role, "content": said} for turn in turns for role, said in turn))

    def __repr__(self) -> str:
        return self._graph


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put the signal handlers back that a WebModule replaces with ones that end the process on the spot."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
