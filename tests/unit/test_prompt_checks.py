"""Prompts as `confrag validate` sees them: templates that cannot be filled in, or leave something out."""

from __future__ import annotations

import pytest

from confrag.config import compose, validate
from confrag.errors import ConfigError

GOOD = "{{ context }} {{ question }}"


def faults(*overrides: str) -> list[str]:
    try:
        validate(compose(["llm=extractive", *overrides]))
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def user(template: str) -> str:
    escaped = template.replace("'", r"\'")
    return f"prompts.answer.user='{escaped}'"


@pytest.mark.parametrize(
    ("override", "path", "message"),
    [
        (
            user("{context} {{ question }}"),
            "answer.user",
            "in a template, {context} is plain text; write {{ context }}",
        ),
        (
            user("{{ context }} {question}"),
            "answer.user",
            "in a template, {question} is plain text; write {{ question }}",
        ),
        (user("{{ question }}"), "answer.user", "has no {{ context }}, so the model would not see it"),
        (
            user("{{ contxt }} {{ question }}"),
            "answer.user",
            "line 1: there is no 'contxt' here; known: citations, context, history, language, passages, question. "
            "Did you mean 'context'?",
        ),
        (user(GOOD + "\n{% if history %}"), "answer.user", "line 2: Unexpected end of template. Jinja was looking for"),
        (user(GOOD + " {{ question | shout }}"), "answer.user", "line 1: No filter named 'shout'."),
        (user(GOOD + " {% include 'a' %}"), "answer.user", "line 1: no loader for this environment specified"),
        (user(GOOD + "\n{{ question.__class__ }}"), "answer.user", "line 2: access to attribute '__class__' of 'str'"),
        (
            user(GOOD + " {% for p in passages %}{{ p.metadata.page }}{% endfor %}"),
            "answer.user",
            "line 1: 'dict object' has no attribute 'page'; what may be missing needs a default: "
            "{{ passage.metadata.page | default('') }}",
        ),
        (
            user(GOOD + " {% if not history %}{{ history[0].role }}{% endif %}"),
            "answer.user",
            "line 1: tuple object has no element 0",
        ),
        ("prompts.answer.system='{{ 1 / 0 }}'", "answer.system", "line 1: division by zero"),
        (
            "prompts.rewrite='{{ context }}'",
            "rewrite",
            "line 1: there is no 'context' here; known: history, language, que",
        ),
        ("prompts.answer.citations=roman", "answer.citations", "must be one of: number, none"),
    ],
)
def test_a_template_that_will_not_do(override: str, path: str, message: str) -> None:
    found = faults(override)
    assert len(found) == 1, found
    assert found[0].startswith(f"prompts.{path} = ")
    assert message in found[0]


@pytest.mark.parametrize(
    "template",
    [
        GOOD,
        "{% for p in passages %}{{ p.number }} {{ p.file }} {{ p.text }} {{ p.score }}{% endfor %} {{ question }}",
        GOOD + " {% if history %}{{ history[-1].content }}{% endif %}",
        GOOD + " {{ passages[0].metadata.page | default('?') }}",
        GOOD + ' Reply as {"question": "...", "answer": "..."}, in {{ language }}.',
        GOOD + " {% set found = namespace(n=0) %}{% for i in range(3) %}{% set found.n = found.n + i %}{% endfor %}",
    ],
)
def test_a_template_that_will_do(template: str) -> None:
    assert faults(user(template)) == []


def test_the_system_part_may_hold_the_passages() -> None:
    assert faults(user("{{ question }}"), "prompts.answer.system='{{ context }}'") == []


@pytest.mark.parametrize("prompts", ["english", "chinese"])
def test_the_packaged_prompts(prompts: str) -> None:
    assert faults(f"prompts={prompts}") == []


def test_an_answer_that_leaves_no_room_for_a_prompt() -> None:
    assert faults("llm=smollm2", "models.llm.context=512", "generation.max_tokens=512") == [
        "generation.max_tokens = 512: leaves no room for a prompt: models.llm.context = 512 tokens are for prompt and "
        "answer together"
    ]
    assert faults("llm=smollm2", "models.llm.context=513", "generation.max_tokens=512") == []
    assert faults("llm=smollm2", "generation.model=none", "generation.max_tokens=9999")[0].startswith(
        "generation.model"
    )
