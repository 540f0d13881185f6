"""What LazyLLM knows of the interfaces of online embedders and rerankers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["OnlineWire"]


class OnlineWire:
    """What LazyLLM knows of a provider's interface for embeddings or reranking.

    Attributes:
        url: where requests go.
        headers: of each request, the key among them.

    Args:
        module: an OnlineEmbeddingModule.
        role: ``embed`` or ``rerank``.
        base_url: instead of the provider's own address; ends with a slash.
    """

    def __init__(self, module: Any, role: str, base_url: str | None) -> None:
        self._module = module
        url = str(module._get_embed_url(base_url) if base_url else module._embed_url)
        if role == "rerank" and url.endswith("/embeddings"):  # LazyLLM takes some rerankers for embedders here
            url = url.removesuffix("embeddings") + "rerank"
        self.url = url
        self.headers: dict[str, str] = dict(module._header)

    def embed_request(self, texts: list[str]) -> Mapping[str, Any]:
        """The body that asks for the vectors of texts, no more than the module's `batch_size`."""
        (body,) = self._module._encapsulated_data(texts)
        return cast("Mapping[str, Any]", body)

    def embed_response(self, answer: Any, count: int) -> list[list[float]]:
        """The vectors in an answer."""
        return cast("list[list[float]]", self._module._parse_response(answer, input=[""] * count))

    def rerank_request(self, query: str, texts: list[str]) -> Mapping[str, Any]:
        """The body that asks for the scores of texts."""
        # As LazyLLM's own `forward` does: not every provider's module puts the model in by itself.
        named = {"model": self._module._embed_model_name}
        body = self._module._encapsulated_data(query, documents=texts, top_n=len(texts), **named)
        return cast("Mapping[str, Any]", body)

    def rerank_response(self, answer: Any) -> list[tuple[int, float]]:
        """Pairs of a text's number and its score."""
        return cast("list[tuple[int, float]]", self._module._parse_response(answer, input=""))
