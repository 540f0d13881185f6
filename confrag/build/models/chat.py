"""A chat model: LazyLLM's online module towards a server, how patiently it is asked, and what is closed with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lazyllm

from confrag.build.models.resilience import Calls
from confrag.build.models.tokens import Tokenizer
from confrag.build.private.chat import without_codes

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
        calls: how patiently it is asked; one for all who use the model.
        fallbacks: asked in their order when this one gives no answer; closed by whoever built them.
        tokenizer: counts as the model does; None where it cannot be asked.
        context: tokens of prompt and answer together that it holds, where the configuration says so.
        name: in the configuration, by which its tokens are counted.
    """

    module: Any
    place: str
    shutdown: Callable[[], None] = _nothing
    calls: Calls = field(default_factory=Calls)
    fallbacks: tuple[ChatModel, ...] = ()
    tokenizer: Tokenizer | None = None
    context: int | None = None
    name: str = ""

    def close(self) -> None:
        """End what was started for it."""
        self.shutdown()


def online(base_url: str, model: str, api_key: str | None, timeout_s: float) -> Any:
    """LazyLLM's OnlineChatModule for a server with the interface of OpenAI."""
    return without_codes(
        lazyllm.OnlineChatModule(
            source="openai",
            base_url=base_url.rstrip("/") + "/",
            model=model,
            api_key=api_key,
            skip_auth=api_key is None,
            stream=False,
            timeout=timeout_s,
        )
    )
