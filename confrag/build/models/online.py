"""Model kind `online`: a provider by its name, through LazyLLM's online modules.

Chat goes through LazyLLM altogether. For embeddings and reranking its modules say where a request goes, what it holds
and how the answer is read; it is sent by our own endpoint, since theirs drop the status of a refused request, repeat it
at once in smaller parts, and write the provider's answer, with whatever it repeats, into the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import lazyllm

from confrag.build.models.chat import ChatModel
from confrag.build.models.endpoint import Endpoint
from confrag.build.models.openai_compatible import ROLES, key_of
from confrag.build.models.resilience import Calls
from confrag.build.models.served import ServedEmbedder, ServedReranker
from confrag.build.private.chat import without_codes
from confrag.build.private.online_wire import OnlineWire
from confrag.build.progress import ProgressFn, silent

__all__ = ["build"]


def build(
    *,
    role: Literal["chat", "embed", "rerank"],
    source: str,
    model: str,
    api_key_env: str,
    base_url: str | None = None,
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
    progress: ProgressFn = silent,
) -> Any:
    """A ChatModel, an Embedder or a RerankModel, as the role says; each role looks at its own arguments.

    Raises:
        UserError: the environment variable of the key is not set.
    """
    place = f"the {ROLES[role]} model '{model}' of {source}" + (f" at {base_url}" if base_url else "")
    key = key_of(api_key_env, place)
    calls = Calls(retries=retries, backoff_s=backoff_s, concurrency=concurrency, rate_limit=rate_limit)
    address = base_url.rstrip("/") + "/" if base_url else None
    if role == "chat":
        module = lazyllm.OnlineChatModule(
            source=source, model=model, base_url=address, api_key=key, stream=False, timeout=timeout_s
        )
        return ChatModel(without_codes(module), place, calls=calls)
    most = batch_texts if role == "embed" else 1
    module = lazyllm.OnlineEmbeddingModule(
        source=source, model=model, type=role, base_url=address, api_key=key, batch_size=most, num_worker=1
    )
    wire = OnlineWire(module, role, address)
    endpoint = Endpoint(wire.url, place, calls, timeout_s, wire.headers, [key])
    if role == "rerank":
        return ServedReranker(endpoint, wire.rerank_request, wire.rerank_response)
    return ServedEmbedder(
        endpoint,
        wire.embed_request,
        wire.embed_response,
        batch_texts=batch_texts,
        batch_chars=batch_chars,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
    )
