"""The providers that LazyLLM knows, by role: what `kind: online` may name. A test compares it with LazyLLM's list."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ELSEWHERE", "SOURCES"]

ELSEWHERE = ("custom_http", "online", "openai_compatible", "trainable")
"""Model kinds whose model runs in another process, that knows it by its name."""

SOURCES: Mapping[str, tuple[str, ...]] = {
    "chat": (
        "aiping",
        "claude",
        "deepseek",
        "doubao",
        "glm",
        "kimi",
        "minimax",
        "openai",
        "openrouter",
        "ppio",
        "qwen",
        "sensenova",
        "siliconflow",
    ),
    "embed": ("aiping", "doubao", "glm", "openai", "openrouter", "qwen", "sensenova", "siliconflow"),
    "rerank": ("aiping", "glm", "openai", "qwen", "siliconflow"),
}
"""Role -> names of the sources that have models for it."""
