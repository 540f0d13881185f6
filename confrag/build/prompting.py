"""From nodes, a question and what was said before to a prompt that fits the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lazyllm.tools.rag import DocNode

from confrag.build.conditions import language
from confrag.build.models.chat import ChatModel
from confrag.build.models.tokens import Gpt2Tokenizer
from confrag.build.nodes import FILE, metadata_of, passage
from confrag.build.trace import current
from confrag.errors import UserError
from confrag.schema.history import History
from confrag.schema.templates import Template

__all__ = ["Context", "Prompt", "RewritingPrompt", "Room"]

_log = logging.getLogger("confrag")
_FORMATTING = 32
"""Tokens that a chat template may put around the two messages."""


@dataclass(frozen=True)
class Prompt:
    """What a model is told, and the passages in it, in the order of their numbers."""

    system: str
    user: str
    nodes: tuple[DocNode, ...] = ()


class Room:
    """What fits into a model, and into those that stand in for it.

    Attributes:
        tokenizer: the model's own where it is known, else GPT-2's.

    Args:
        model: that is asked.
        max_tokens: of its answer.
    """

    def __init__(self, model: ChatModel, max_tokens: int) -> None:
        self.tokenizer = model.tokenizer or Gpt2Tokenizer()
        self._chain = (model, *model.fallbacks)
        self._max_tokens = max_tokens

    def for_prompt(self) -> int | None:
        """Tokens that a prompt may have; None where that is not known."""
        held = [link.context or (link.tokenizer.context() if link.tokenizer else None) for link in self._chain]
        known = [tokens for tokens in held if tokens]
        return min(known) - self._max_tokens - _FORMATTING if known else None

    def lacking(self, *messages: str) -> int:
        """Tokens by which messages are too long; none or fewer when they fit, or when that is not known."""
        room = self.for_prompt()
        return 0 if room is None else sum(map(self.tokenizer.count, messages)) - room


class Context:
    """Chooses the passages, best first, until the budget is used up, and fills the prompt with them.

    What does not fit the model goes in this order: passages, the last first; turns of the history, the oldest first;
    then the end of the one passage that is left. No other passage is ever shortened.

    Args:
        system: template of what the model is told about its task.
        user: template of the message.
        citations: ``number`` or ``none``.
        budget: of the passages, in tokens.
        room: of the whole.
        doc_fields: name -> type of the declared metadata, which templates see.
    """

    def __init__(
        self, system: Template, user: Template, citations: str, budget: int, room: Room, doc_fields: Mapping[str, str]
    ) -> None:
        self._system = system
        self._user = user
        self._citations = citations
        self._budget = budget
        self._room = room
        self._doc_fields = doc_fields

    def __call__(self, nodes: Sequence[DocNode], question: str) -> Prompt:
        """The prompt for a question. Raises UserError when the question itself does not fit the model."""
        trace = current()
        given = turns = trace.history if trace else ()
        texts = chosen = self._within_budget(nodes)
        while (over := self._room.lacking(*(filled := self._filled(nodes, texts, question, turns)))) > 0:
            if len(texts) > 1:
                texts = texts[:-1]
            elif turns:
                turns = turns[1:]
            elif (left := self._room.tokenizer.count(texts[0]) - over) > 0:
                texts = [self._room.tokenizer.cut(texts[0], left)]
            else:
                raise UserError(_too_long(self._room, filled))
        if (len(texts), len(turns)) != (len(chosen), len(given)):
            left_out = len(chosen) - len(texts), len(given) - len(turns)
            _log.info("%r: the model has no room for %d passages and %d earlier turns", question, *left_out)
        return Prompt(*filled, tuple(nodes[: len(texts)]))

    def _within_budget(self, nodes: Sequence[DocNode]) -> list[str]:
        texts: list[str] = []
        left = self._budget
        for node in nodes:
            text = passage(node)
            tokens = self._room.tokenizer.count(text)
            if tokens > left:
                if texts:
                    break
                # The best passage is never left out, only shortened.
                text = self._room.tokenizer.cut(text, left)
            texts.append(text)
            left -= tokens
        return texts

    def _filled(
        self, nodes: Sequence[DocNode], texts: Sequence[str], question: str, history: History
    ) -> tuple[str, str]:
        pairs = list(enumerate(zip(nodes, texts, strict=False), start=1))
        numbered = self._citations == "number"
        values = {
            **_common(question, history),
            "context": "\n\n".join(f"[{number}] {text}" if numbered else text for number, (_, text) in pairs),
            "passages": [self._passage(number, node, text) for number, (node, text) in pairs],
            "citations": self._citations,
        }
        return self._system(values), self._user(values)

    def _passage(self, number: int, node: DocNode, text: str) -> dict[str, Any]:
        """A passage as templates see it."""
        score = node.similarity_score
        return {
            "number": number,
            "text": text,
            "file": str(node.global_metadata.get(FILE, "")),
            "metadata": metadata_of(node, self._doc_fields),
            "score": None if score is None else float(score),
        }


class RewritingPrompt:
    """Fills the prompt for a question that is to be rewritten; the oldest turns go when they do not fit the model."""

    def __init__(self, template: Template, room: Room) -> None:
        self._template = template
        self._room = room

    def __call__(self, question: str) -> Prompt:
        """The prompt for a question."""
        trace = current()
        turns = trace.history if trace else ()
        while self._room.lacking(system := self._template(_common(question, turns)), question) > 0 and turns:
            turns = turns[1:]
        return Prompt(system, question)


def _common(question: str, history: History) -> dict[str, Any]:
    return {"question": question, "history": list(history), "language": language(question)}


def _too_long(room: Room, messages: Sequence[str]) -> str:
    needed = sum(map(room.tokenizer.count, messages))
    return (
        f"query: with the prompt around it, the question takes {needed:,} tokens, and the model has room for "
        f"{room.for_prompt():,} beside the answer; shorten it, lower generation.max_tokens or raise the model's context"
    )
