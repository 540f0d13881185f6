"""Prompts: templates that can be filled in, hold what the model must see, and leave room for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from confrag.config.raw import Raw
from confrag.errors import Problem
from confrag.schema.prompts import ANSWERING, JUDGING, REWRITING
from confrag.schema.root import GenerationSpec
from confrag.schema.templates import faults, names

__all__ = ["prompts", "prompts_fit"]


_CONTEXT_KEYS = {"local": "context", "vllm": "max_model_len"}
"""Kind -> the key that says how many tokens prompt and answer may have together."""


def prompts(raw: Raw) -> Iterator[Problem]:
    """Each template can be filled in, and the answering model sees the passages and the question."""
    texts = _below(raw, "prompts")
    answer = _below(texts, "answer")
    yield from _template("prompts.answer.system", answer.get("system"), ANSWERING)
    user = answer.get("user")
    broken = list(_template("prompts.answer.user", user, ANSWERING))
    yield from broken
    if isinstance(user, str) and not broken:
        used = names(user) | (names(answer["system"]) if isinstance(answer.get("system"), str) else set())
        for name, instead in (("context", "passages"), ("question", "question")):
            if used.isdisjoint((name, instead)):
                yield Problem("prompts.answer.user", _unseen(name, user), user)
    yield from _template("prompts.rewrite", texts.get("rewrite"), REWRITING)
    yield from _judge(_below(texts, "judge"))


def _judge(prompt: Raw) -> Iterator[Problem]:
    for key in ("system", "user"):
        yield from _template(f"prompts.judge.{key}", prompt.get(key), JUDGING)
    user = prompt.get("user")
    if isinstance(user, str):
        for name in {"question", "answer"} - names(user):
            yield Problem("prompts.judge.user", _unseen(name, user), user)


def prompts_fit(raw: Raw) -> Iterator[Problem]:
    """The answer leaves room for a prompt, where it is known how much a model holds."""
    generation = _below(raw, "generation")
    name = generation.get("model", GenerationSpec.model_fields["model"].default)
    model = _below(_below(raw, "models"), str(name))
    key = _CONTEXT_KEYS.get(str(model.get("kind")))
    holds = model.get(key) if key else None
    wanted = generation.get("max_tokens", GenerationSpec.model_fields["max_tokens"].default)
    if isinstance(holds, int) and isinstance(wanted, int) and wanted >= holds:
        message = (
            f"leaves no room for a prompt: models.{name}.{key} = {holds} tokens are for prompt and answer together"
        )
        yield Problem("generation.max_tokens", message, wanted)


def _below(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _template(path: str, source: object, values: Raw) -> Iterator[Problem]:
    if not isinstance(source, str):
        return
    found: dict[str, str | None] = {}
    # Templates treat a first question and a later one differently, and one with known answers and one without.
    emptied = [{**values, key: ()} for key in ("history", "answers") if key in values]
    for example in (values, *emptied):
        found |= dict(faults(source, example))
    for message, near in found.items():
        yield Problem(path, message, source, near)


def _unseen(name: str, source: str) -> str:
    template = "{{ " + name + " }}"
    if "{" + name + "}" in source:
        return f"in a template, {{{name}}} is plain text; write {template}"
    return f"has no {template}, so the model would not see it"
