"""Model kind `local`: a model of any role in this process."""

from __future__ import annotations

from typing import Any, Literal

from confrag.build.models.local import build_chat_server, build_embed, build_rerank
from confrag.build.progress import ProgressFn, silent

__all__ = ["build"]


def build(
    *,
    role: Literal["chat", "embed", "rerank"],
    model: str,
    threads: int = 0,
    query_prefix: str = "",
    passage_prefix: str = "",
    pooling: Literal["cls", "mean"] = "cls",
    max_length: int = 512,
    context: int = 2048,
    progress: ProgressFn = silent,
) -> Any:
    """An Embedder, a RerankModel or a ChatModel, as the role says; each role looks at its own arguments."""
    if role == "embed":
        return build_embed(
            model=model,
            query_prefix=query_prefix,
            passage_prefix=passage_prefix,
            pooling=pooling,
            max_length=max_length,
            threads=threads,
            progress=progress,
        )
    if role == "rerank":
        return build_rerank(model=model, max_length=max_length, threads=threads, progress=progress)
    from confrag.build.models.chat import ChatModel, online

    server = build_chat_server(model=model, context=context, threads=threads, progress=progress)
    return ChatModel(online(server.base_url, model, None, 600.0), f"the local chat model '{model}'", server.close)
