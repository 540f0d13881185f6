"""Asking a chat model once: with a prompt of one's own, as patiently as its policy says, then those that stand in."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import lazyllm
import requests

from confrag.build.models.chat import ChatModel
from confrag.build.models.resilience import BusyError, retry_after
from confrag.build.private.chat import prompted, response_headers, stream_to
from confrag.errors import ConfragError

__all__ = ["CUT", "FailedError", "RefusedError", "Said", "Talk", "reason"]

_log = logging.getLogger("confrag")

CUT = " …"
"""Ends a text that reached `max_tokens` before it was over."""

_BUSY = (
    "concurrency_limited",
    "protocol_error",
    "provider_internal_error",
    "provider_overloaded",
    "rate_limited",
    "request_timeout",
    "service_unavailable",
    "transport_error",
)
_OF_THE_TEXT = ("input_filtered", "invalid_request", "output_filtered", "token_limit", "unprocessable_entity")
_OF_THE_KEY = ("authentication_failed", "permission_denied")


class RefusedError(Exception):
    """The model does not take this very message: too long for it, for instance, or filtered."""


class FailedError(Exception):
    """The model gives no answer, and asking again will not help: a wrong key, or an answer that broke off."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model answered; `-1` tokens where its server does not count them.

    Attributes:
        model: name of the one that did; see `ChatModel`.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""


class Talk:
    """A chat model with a prompt. Safe for threads.

    Args:
        model: what is asked; its `fallbacks` are asked when it gives no answer.
        prompt: LazyLLM's prompter.
    """

    def __init__(self, model: ChatModel, prompt: Any) -> None:
        self._chain = [(link, prompted(link.module, prompt)) for link in (model, *model.fallbacks)]
        self.module = self._chain[0][1]
        self.place = model.place

    def __call__(
        self,
        message: str | dict[str, str],
        sink: Callable[[str], None] | None = None,
        *,
        temperature: float,
        max_tokens: int,
        retries: int | None = None,
        go_on: Callable[[], None] | None = None,
    ) -> Said:
        """The answer to a message, with `CUT` at its end when it had to be cut.

        Args:
            message: the user's part of the prompt, or what the prompter asks for.
            sink: called with each piece of the answer while it is written.
            temperature: 0: the same answer each time.
            max_tokens: upper bound of the answer.
            retries: instead of the model's own.
            go_on: called before each request and at each piece of an answer; what it raises ends the request.

        Raises:
            BusyError: none of the models answers; asking again later may help.
            RefusedError: another message may be taken.
            FailedError: none of the models answers, and asking again will not help.
            ConfragError: of a model in this process.
        """
        failures: list[str] = []
        sampling = {"temperature": temperature, "max_tokens": max_tokens}
        for number, (link, module) in enumerate(self._chain, start=1):
            listener = _Listener(sink, go_on) if sink or go_on else None
            try:
                said = link.calls(lambda m=module, to=listener: _once(m, message, to, sampling), retries)  # type: ignore[misc]
                return replace(said, model=link.name)
            except (BusyError, FailedError, ConfragError) as error:
                if go_on:
                    go_on()  # LazyLLM makes an error of the model's of what was raised inside of it
                own = number == 1 or isinstance(error, ConfragError)
                failures.append(str(error) if own else f"{link.place} gave no answer: {error}")
                last = number == len(self._chain) or (listener is not None and listener.begun)
                if last and number == 1:
                    raise
                if last:
                    # Whether it is worth asking the chain again is for the last one to say.
                    raise (BusyError if isinstance(error, BusyError) else FailedError)("; ".join(failures)) from error
                _log.warning("%s gave no answer (%s); asking %s", link.place, error, self._chain[number][0].place)
        raise AssertionError("every chain ends with an answer or an error")


class _Listener:
    """Hands pieces on, and knows whether it did: an answer that somebody has seen the beginning of is not begun again.

    Without a sink it only looks, at each piece, whether to go on.
    """

    def __init__(self, sink: Callable[[str], None] | None, go_on: Callable[[], None] | None) -> None:
        self._sink = sink
        self.go_on = go_on or _nothing
        self.begun = False

    def __call__(self, piece: str) -> None:
        self.go_on()
        if self._sink:
            self.begun = True
            self._sink(piece)


def _nothing() -> None:
    pass


def _once(module: Any, message: str | dict[str, str], listener: _Listener | None, sampling: dict[str, Any]) -> Said:
    """One request. LazyLLM keeps a stream's sink on the module, and counts tokens by it: hence a share for each."""
    chat, key = module.share(), uuid.uuid4().hex
    chat.used_by(key)
    text, cut, usage = "", "", {}
    if listener is not None:
        listener.go_on()
    try:
        text = chat(message, stream_output=stream_to(listener) if listener else False, max_retries=1, **sampling)
        if isinstance(text, dict):  # a stream whose server does not say who speaks
            text = text.get("content") or ""
    except (ConfragError, BusyError, RefusedError, FailedError):
        raise
    except Exception as error:
        cut = _cut_short(error)
        if not cut:
            meant = _meaning(error)
            if isinstance(meant, BusyError) and listener is not None and listener.begun:
                meant = FailedError(f"the answer broke off after it had begun: {meant}")
            raise meant from error
    finally:
        usage = lazyllm.globals["usage"].pop(key, {})
    if listener is not None and text and not listener.begun:
        listener(str(text))  # of a model that does not stream
    return Said(str(cut or text).strip(), usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))


def _meaning(error: Exception) -> Exception:
    """What an error of LazyLLM's says about asking again."""
    failure = next(filter(None, map(_failure, _chain(error))), None)
    status, code = getattr(failure, "provider_http_status", None) or 0, getattr(failure, "code", "")
    if code in _BUSY or status >= 500 or (failure is None and _of_transport(error)):
        return BusyError(reason(error), retry_after(response_headers(error).get("Retry-After")))
    if code in _OF_THE_TEXT:
        return RefusedError(reason(error))
    return FailedError(reason(error) + ("; check the key" if code in _OF_THE_KEY else ""))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it. Of sources with an interface of their own, LazyLLM wraps what was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _failure(error: BaseException) -> Any:
    return getattr(getattr(error, "terminal", None), "failure", None) or getattr(error, "failure", None)


def _of_transport(error: BaseException) -> bool:
    return any(isinstance(link, requests.ConnectionError | requests.Timeout) for link in _chain(error))


def _cut_short(error: Exception) -> str:
    """What a model wrote until it reached `max_tokens`, which LazyLLM counts as a failure; else nothing."""
    terminal = getattr(error, "terminal", None)
    if terminal is None or terminal.finish != "length":
        return ""
    frames = getattr(error, "partial_response", [])
    choices = [choice for frame in frames for choice in frame.get("choices", [])]
    parts = [choice.get("message") or choice.get("delta") or {} for choice in choices]
    return "".join(part.get("content") or "" for part in parts) + CUT


def reason(error: BaseException) -> str:
    """The first cause of an error, in one line."""
    *_, root = _chain(error)
    return " ".join(str(root).split())[:300] or type(root).__name__
