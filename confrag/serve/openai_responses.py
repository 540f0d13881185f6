"""Responses as OpenAI's clients expect them, with what confrag adds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = [
    "ChatCompletion",
    "Choice",
    "Embedding",
    "EmbeddingList",
    "EmbeddingUsage",
    "Model",
    "ModelList",
    "Reply",
    "Usage",
]


class _Documented(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Usage(BaseModel):
    """Tokens, as the answering model counted them; 0 where none was asked: quotations, and answers from the cache."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Reply(BaseModel):
    """The answer's message."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(_Documented):
    """The one answer."""

    index: Literal[0] = 0
    message: Reply
    logprobs: None = None
    finish_reason: Literal["stop", "length"]
    """``length``: the model reached `generation.max_tokens`."""


class ChatCompletion(_Documented):
    """An answer, with its numbered sources beside what OpenAI's has."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    """Seconds since 1970."""
    model: str
    choices: list[Choice]
    usage: Usage
    sources: list[dict[str, Any]]
    """As in ``/api/ask``: the text's ``[1]`` is the first."""
    confrag: dict[str, Any]
    """How the answer came about: cached, partial, missing, rewritten, citations, timings_ms."""


class Model(BaseModel):
    """What may be named as `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "confrag"
    role: Literal["chat", "embed"]


class ModelList(BaseModel):
    """Everything that may be named as `model`."""

    object: Literal["list"] = "list"
    data: list[Model]


class Embedding(BaseModel):
    """The vector of one text: numbers, or base64 of float32, little-endian."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens, counted as GPT-2 does: an estimate for any model."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
