"""`prompts`: the texts that the engine speaks with, and the names that their templates may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from confrag.schema.base import Spec, Text

__all__ = ["ANSWERING", "JUDGING", "REWRITING", "AnswerPromptSpec", "JudgePromptSpec", "PromptsSpec"]

Template = Annotated[Text, Field(min_length=1)]
"""A Jinja2 template, rendered in a sandbox; an unknown name is an error."""

_TURNS = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "She."})
REWRITING: Mapping[str, Any] = {"question": "Where?", "history": _TURNS, "language": "en"}
"""The names that ``prompts.rewrite`` may use, each with an example."""
ANSWERING: Mapping[str, Any] = {
    **REWRITING,
    "context": "[1] Here.",
    "passages": ({"number": 1, "text": "Here.", "file": "a.txt", "metadata": {}, "score": 0.5},),
    "citations": "number",
}
"""The names that ``prompts.answer`` may use, each with an example. Metadata may lack anything."""

JUDGING: Mapping[str, Any] = {
    "question": "Where?",
    "answer": "Here [1].",
    "answers": ("Here", "There"),
    "context": "[1] Here.",
    "language": "en",
}
"""The names that ``prompts.judge`` may use, each with an example; of ``answers``, there may be none."""


class AnswerPromptSpec(Spec):
    """The prompt of the answering model: two Jinja2 templates, of `context`, `passages`, `question` and the like."""

    system: Template
    """What the model is told about its task."""
    user: Template
    """Holds ``{{ context }}`` (the passages as text) or ``{{ passages }}`` (each with number, text, file, metadata and
    score), and ``{{ question }}``; ``{{ history }}`` (turns with role and content) and ``{{ language }}`` (en, zh) if
    they are wanted. A passage is put in as it is: what looks like a template in it is not run."""
    citations: Literal["number", "none"] = "number"
    """How passages are cited: ``[1]``, checked against the sources, or not at all; templates see it, too."""


class JudgePromptSpec(Spec):
    """The prompt of the model that grades answers: two Jinja2 templates."""

    system: Template
    """What it is told about its task: its last line must be ``Grade: N``, from 1 (wrong) to 5 (right); from 4 on an
    answer counts as right."""
    user: Template
    """Holds ``{{ question }}`` and ``{{ answer }}``, and what to compare with: ``{{ answers }}`` (those that are known
    to be right, perhaps none) or ``{{ context }}`` (the sources of the answer); ``{{ language }}`` (en, zh)."""


class PromptsSpec(Spec):
    """The texts that the engine speaks with."""

    answer: AnswerPromptSpec
    no_source: Annotated[Text, Field(min_length=1)]
    """The answer when nothing was found."""
    quoted: Annotated[Text, Field(min_length=1)]
    """What introduces the quotations of an extractive answer."""
    rewrite: Template | None = None
    """What a model is told that rewrites questions (`kind: rewrite`); of ``question``, ``history`` and ``language``."""
    judge: JudgePromptSpec | None = None
    """How ``confrag eval`` has answers graded (`eval.judge`)."""
