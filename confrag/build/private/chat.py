"""Chat modules: prompted, listened to, and silenced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["prompted", "response_headers", "stream_to", "without_codes"]


def prompted(chat: Any, prompt: Any) -> Any:
    """A share of a chat module with a prompt, and without LazyLLM's own words before it ("You are ChatGPT ...")."""
    module = chat.share(prompt=prompt)
    module._prompt._set_model_configs(system="")
    return module


def stream_to(sink: Callable[[str], None]) -> dict[str, Any]:
    """The `stream_output` argument of a chat module that hands each piece of the answer to `sink`."""

    def receive(payload: Mapping[str, Any]) -> None:
        if payload.get("tag") == "text" and payload.get("delta"):
            sink(str(payload["delta"]))

    return {"_stream_sink": receive}


def response_headers(error: BaseException) -> Mapping[str, str]:
    """Headers of the server's answer behind an error of a chat module; empty where there was none.

    LazyLLM keeps the status of a refused request and drops its headers, Retry-After among them. The frame that looked
    at the answer still has it.
    """
    import requests

    seen: BaseException | None = error
    while seen is not None:
        trace = seen.__traceback__
        while trace is not None:
            for value in trace.tb_frame.f_locals.values():
                if isinstance(value, requests.Response):
                    return value.headers
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    return {}


def without_codes(chat: Any) -> Any:
    """A chat module that leaves out of its log what a server sent with a refusal: it may have sent the key back."""

    def nothing(failure: object) -> None:
        """The status is in the error."""

    chat._log_failure = nothing
    return chat
