"""One chat completion as OpenAI's clients expect it: whole, or as the chunks of a stream."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Literal

from confrag.build.models.talk import CUT
from confrag.runtime.results import Answer, Hit
from confrag.serve.openai_responses import ChatCompletion, Choice, Reply, Usage

__all__ = ["DONE", "Completion", "end", "event", "same"]

DONE = "data: [DONE]\n\n"
"""Ends a stream."""
_SHOWN = ("cached", "partial", "missing", "rewritten", "citations", "timings_ms")


def event(data: object) -> str:
    """Data as an event of a stream (server-sent events)."""
    return f"data: {json.dumps(data)}\n\n"


class Completion:
    """The answer to one request.

    Args:
        model: the name that it is answered under.
        citations: end the text with the files that it cites.
        quotes: the answer consists of quotations. These may be shortened, but no model has broken off.
        count: let a stream count its tokens.
        source: gives a source as plain data.
    """

    def __init__(
        self, model: str, *, citations: bool, quotes: bool, count: bool, source: Callable[[Hit], dict[str, Any]]
    ) -> None:
        self._model = model
        self._source = source
        self._citations = citations
        self._quotes = quotes
        self._count = count
        self._id = _new_id()
        self._created = int(time.time())

    def whole(self, answer: Answer) -> ChatCompletion:
        """The answer in one piece."""
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=[
                Choice(message=Reply(content=answer.text + self._cited(answer)), finish_reason=self._finish(answer))
            ],
            usage=_usage(answer),
            **self._additions(answer),
        )

    def first(self) -> str:
        """The chunk that begins a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> str:
        """A chunk with a piece of the text."""
        return self._chunk({"content": text})

    def last(self, answer: Answer) -> Iterator[str]:
        """What follows the last piece: the list of files, the reason for the end with the sources, the tokens."""
        if listed := self._cited(answer):
            yield self.piece(listed)
        yield self._chunk({}, self._finish(answer), **self._additions(answer))
        if self._count:
            yield event({**self._common(), "choices": [], "usage": _usage(answer).model_dump()})
        yield DONE

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._count else {}
        return event({**self._common(), "choices": [choice], **usage, **more})

    def _common(self) -> dict[str, Any]:
        return {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}

    def _cited(self, answer: Answer) -> str:
        if not self._citations or not answer.citations:
            return ""
        return "\n\n" + "\n".join(f"[{number}] {answer.sources[number - 1].file}" for number in answer.citations)

    def _finish(self, answer: Answer) -> Literal["stop", "length"]:
        return "length" if answer.text.endswith(CUT) and not self._quotes else "stop"

    def _additions(self, answer: Answer) -> dict[str, Any]:
        """What confrag adds to OpenAI's answer."""
        whole = answer.as_dict()
        return {
            "sources": [self._source(hit) for hit in answer.sources],
            "confrag": {key: whole[key] for key in _SHOWN if key in whole},
        }


def same(completion: ChatCompletion) -> dict[str, Any]:
    """What a completion has in common with the next one to the same request, with its times last."""
    members = completion.model_dump(exclude={"id", "created", "confrag"})
    return {**members, "confrag": completion.confrag}


def end(milliseconds: float, request_id: str) -> str:
    """What comes after it: the time in all, and the members of its own."""
    return f'{milliseconds:.3f}}}}}, "id": "{_new_id()}", "created": {int(time.time())}}}'


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _usage(answer: Answer) -> Usage:
    prompt, completion = answer.tokens["prompt"], answer.tokens["completion"]
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
