"""Counting tokens as a model does, where its server can be asked, else as GPT-2 does."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, Protocol

import httpx
import tiktoken

__all__ = ["Gpt2Tokenizer", "ServerTokenizer", "Tokenizer"]

_log = logging.getLogger("confrag")
_TIMEOUT_S = 10.0


class Tokenizer(Protocol):
    """Measures texts in tokens. Safe for threads."""

    def count(self, text: str) -> int:
        """Number of tokens."""

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of a text, of so many tokens; never half a character."""

    def context(self) -> int | None:
        """Tokens of prompt and answer together that the model holds, where it says so."""


class Gpt2Tokenizer:
    """GPT-2's vocabulary, an estimate for any model."""

    def count(self, text: str) -> int:
        """Number of tokens."""
        return len(_gpt2().encode_ordinary(text))

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of a text."""
        return str(_gpt2().decode(_gpt2().encode_ordinary(text)[:tokens])).rstrip("\ufffd")

    def context(self) -> int | None:
        """Unknown."""
        return None


@cache
def _gpt2() -> Any:
    return tiktoken.get_encoding("gpt2")


class ServerTokenizer:
    """The tokenizer of a llama.cpp or vLLM server: ``POST /tokenize`` and ``/detokenize``, beside ``/v1``.

    Where the server does not tokenize, GPT-2's tokenizer stands in: the question itself will tell what is wrong.

    Args:
        base_url: up to and including ``/v1``.
        model: what requests call it.
    """

    def __init__(self, base_url: str, model: str) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._model = model
        # An idle connection would occupy one of the few threads of llama.cpp's server.
        self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False, headers={"Connection": "close"})
        self._instead = Gpt2Tokenizer()
        self._context: int | None = None
        self._asked = False

    def count(self, text: str) -> int:
        """Number of tokens."""
        tokens = self._tokens(text)
        return self._instead.count(text) if tokens is None else len(tokens)

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of a text."""
        found = self._tokens(text)
        answer = None if found is None else self._post("detokenize", {"tokens": found[:tokens]})
        cut = None if answer is None else answer.get("content", answer.get("prompt"))
        # Some vocabularies put a space before the first word.
        return self._instead.cut(text, tokens) if cut is None else str(cut).strip().rstrip("\ufffd")

    def context(self) -> int | None:
        """What vLLM adds to its answers as ``max_model_len``; llama.cpp does not say."""
        if not self._asked:
            self._tokens("a")
        return self._context

    def _tokens(self, text: str) -> list[int] | None:
        # llama.cpp takes `content`, vLLM `prompt`; each passes over what it does not know.
        plain = {"content": text, "prompt": text, "add_special": False, "add_special_tokens": False}
        answer = self._post("tokenize", plain)
        tokens = None if answer is None else answer.get("tokens")
        if answer and isinstance(answer.get("max_model_len"), int):
            self._context = answer["max_model_len"]
        self._asked = self._asked or answer is not None
        return tokens if isinstance(tokens, list) else None

    def _post(self, verb: str, request: dict[str, Any]) -> dict[str, Any] | None:
        try:
            response = self._client.post(f"{self._root}/{verb}", json={"model": self._model, **request})
            answer = response.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            _log.info("%s does not count tokens (%s); GPT-2's are counted", self._root, error)
            return None
        return answer if isinstance(answer, dict) else None
