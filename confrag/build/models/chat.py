"""A chat model: LazyLLM's online module towards a server, and what must be closed with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lazyllm

__all__ = ["ChatModel", "online"]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class ChatModel:
    """A chat module of LazyLLM's.

    Attributes:
        module: the module, without a prompt.
        place: how errors name it: kind, model and address.
        shutdown: ends the server behind it, where it is ours.
    """

    module: Any
    place: str
    shutdown: Callable[[], None] = _nothing

    def close(self) -> None:
        """End what was started for it."""
        self.shutdown()


def online(base_url: str, model: str, api_key: str | None, timeout_s: float) -> Any:
    """LazyLLM's OnlineChatModule for a server with the interface of OpenAI."""
    return lazyllm.OnlineChatModule(
        source="openai",
        base_url=base_url.rstrip("/") + "/",
        model=model,
        api_key=api_key,
        skip_auth=api_key is None,
        stream=False,
        timeout=timeout_s,
    )
