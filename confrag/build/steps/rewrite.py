"""Recall step `rewrite`: a chat model puts the question into other words, with what was said before it."""

from __future__ import annotations

from typing import Any

import lazyllm

from confrag.build.prompting import RewritingPrompt, Room
from confrag.build.steps.parts import Children, Parts
from confrag.build.trace import current
from confrag.build.writing import Writer
from confrag.schema.templates import Template

__all__ = ["Rewrite", "build"]


class Rewrite(lazyllm.ModuleBase):  # type: ignore[misc]
    """Question -> question; where the model says nothing, the one that was asked."""

    def __init__(self, writer: Writer, prompt: RewritingPrompt) -> None:
        super().__init__()
        self._prompt = prompt
        self._writer = writer

    def forward(self, query: str) -> str:
        """The new question. Raises ServiceError when the model does not answer."""
        prompt = self._prompt(query)
        text = " ".join(self._writer.write(prompt.system, prompt.user, "rewrite").split()) or query
        if trace := current():
            trace.rewritten = text
        return text


def build(parts: Parts, children: Children, *, model: str, max_tokens: int, prompt: str) -> Any:
    """The rewriter of a plan."""
    chat = parts.models[model]
    writer = Writer(chat, temperature=0.0, max_tokens=max_tokens)
    return Rewrite(writer, RewritingPrompt(Template("prompts.rewrite", prompt), Room(chat, max_tokens)))
