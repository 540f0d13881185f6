"""Model kind `openai_compatible`: a server with the interface of OpenAI, for chat, embeddings and reranking."""

from __future__ import annotations

import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Literal

from confrag.build.models.resilience import Calls
from confrag.build.models.services import address
from confrag.build.progress import ProgressFn, silent
from confrag.errors import ServiceError, UserError

__all__ = ["ROLES", "build", "key_of", "rerank_scores", "vectors", "verify"]

_log = logging.getLogger("confrag")

Role = Literal["chat", "embed", "rerank"]
ROLES = {"chat": "chat", "embed": "embedding", "rerank": "rerank"}
"""Role -> what errors call a model that has it."""


def build(
    *,
    role: Role,
    base_url: str,
    model: str,
    api_key_env: str | None = None,
    timeout_s: float = 60.0,
    retries: int = 3,
    backoff_s: float = 1.0,
    concurrency: int = 8,
    rate_limit: int | None = None,
    fallback: Sequence[str] = (),
    batch_texts: int = 32,
    batch_chars: int = 60_000,
    query_prefix: str = "",
    passage_prefix: str = "",
    verify_at_start: bool = True,
    state_dir: str | None = None,
    progress: ProgressFn = silent,
) -> Any:
    """A ChatModel, an Embedder or a RerankModel, as the role says; each role looks at its own arguments.

    Raises:
        ServiceError: with `verify_at_start`, the server does not answer, and nothing stands in for it.
        UserError: it does not serve the model; or the environment variable of the key is not set.
    """
    served, base_url = base_url == "served", address(base_url, model, state_dir)
    key = key_of(api_key_env, base_url) if api_key_env else None
    if verify_at_start:
        try:
            verify(base_url, model, api_key_env, min(timeout_s, 10.0), role)
        except ServiceError as error:
            if not fallback:
                raise
            _log.warning("%s; until it answers, %s is asked", error, " or ".join(fallback))
    place = f"the {ROLES[role]} model '{model}' at {base_url}"
    calls = Calls(retries=retries, backoff_s=backoff_s, concurrency=concurrency, rate_limit=rate_limit)
    if role == "chat":
        from confrag.build.models.chat import ChatModel, online
        from confrag.build.models.tokens import ServerTokenizer

        # Who serves it, vLLM or llama.cpp, is known only where `confrag models serve` did.
        tokenizer = ServerTokenizer(base_url, model) if served else None
        return ChatModel(online(base_url, model, key, timeout_s), place, calls=calls, tokenizer=tokenizer)
    from confrag.build.models.endpoint import Endpoint
    from confrag.build.models.served import ServedEmbedder, ServedReranker

    url = f"{base_url.rstrip('/')}/{'embeddings' if role == 'embed' else 'rerank'}"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    endpoint = Endpoint(url, place, calls, timeout_s, headers, [key] if key else [])
    if role == "rerank":
        return ServedReranker(
            endpoint,
            lambda query, texts: {"model": model, "query": query, "documents": texts, "top_n": len(texts)},
            rerank_scores,
        )
    return ServedEmbedder(
        endpoint,
        lambda texts: {"model": model, "input": texts, "encoding_format": "float"},
        vectors,
        batch_texts=batch_texts,
        batch_chars=batch_chars,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
    )


def vectors(answer: Any, count: int) -> list[list[float]]:
    """The vectors in an answer to POST /embeddings, in the order of the texts."""
    return [entry["embedding"] for entry in sorted(answer["data"], key=lambda entry: entry.get("index", 0))]


def rerank_scores(answer: Any) -> list[tuple[int, float]]:
    """The scores in an answer to POST /rerank, the interface that Cohere, Jina and vLLM share."""
    return [(entry["index"], entry["relevance_score"]) for entry in answer["results"]]


def key_of(variable: str, place: str) -> str:
    """The key in an environment variable. Raises UserError when there is none."""
    key = os.environ.get(variable)
    if not key:
        raise UserError(f"the environment variable {variable} is not set; it must hold the key for {place}")
    return key


def verify(base_url: str, model: str, api_key_env: str | None, timeout_s: float, role: str = "chat") -> None:
    """Ask the server which models it serves.

    Raises:
        ServiceError: it does not answer.
        UserError: it does not serve the model; or the environment variable of the key is not set.
    """
    key = key_of(api_key_env, base_url) if api_key_env else None
    server = f"the {ROLES[role]} server at {base_url}"
    url = f"{base_url.rstrip('/')}/models"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            served = [str(entry.get("id")) for entry in json.load(response).get("data", [])]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return  # Some servers have no list of models; the first question will tell.
        hint = "; check the key" if error.code in (401, 403) else ""
        raise ServiceError(f"{server} answered GET {url} with HTTP {error.code}{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        start = f", for example with 'vllm serve {model}' or 'llama-server -m FILE.gguf'" if role == "chat" else ""
        raise ServiceError(
            f"{server} does not answer (GET {url}: {reason}). Start it{start}, or name another one with "
            f"models.{'llm' if role == 'chat' else role}.base_url=URL"
        ) from None
    if served and model not in served:
        raise UserError(f"{server} does not serve the model '{model}'; it serves: {', '.join(served)}")
