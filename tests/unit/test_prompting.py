"""Prompts: what is put into them, and what is left out when it does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.build import prepare
from confrag.config import compose, validate
from confrag.errors import UserError
from confrag.schema.history import parse_history
from confrag.schema.templates import Template

prepare()

from lazyllm.tools.rag import DocNode  # noqa: E402

from confrag.build.models.chat import ChatModel  # noqa: E402
from confrag.build.models.tokens import Gpt2Tokenizer  # noqa: E402
from confrag.build.prompting import Context, Prompt, RewritingPrompt, Room  # noqa: E402
from confrag.build.trace import Trace, tracing  # noqa: E402

GPT2 = Gpt2Tokenizer()
FORMATTING = 32
HISTORY = parse_history(
    [
        {"role": "user", "content": "Who opens the harbour?"},
        {"role": "assistant", "content": "The harbour master."},
        {"role": "user", "content": "With what?"},
    ]
)
PLAIN = "{% for t in history %}{{ t.content }}\n{% endfor %}{{ context }}\n{{ question }}"


def nodes(*texts: str) -> list[DocNode]:
    made = [DocNode(text=text, global_metadata={"docid": "x", "lazyllm_doc_path": "/a"}) for text in texts]
    for node in made:
        node.similarity_score = 0.5
    return made


def room(holds: int | None = None, max_tokens: int = 10) -> Room:
    """Of a model that holds so many tokens beside what a chat template takes."""
    return Room(ChatModel(None, "a model", context=holds and holds + max_tokens + FORMATTING), max_tokens)


def context(
    user: str = PLAIN, system: str = "S", citations: str = "number", budget: int = 1000, **held: Any
) -> Context:
    return Context(Template("prompts.answer.system", system), Template("u", user), citations, budget, room(**held), {})


def prompt(made: Context, found: list[DocNode], question: str = "When?", history: Any = HISTORY) -> Prompt:
    with tracing(Trace(history=history)):
        return made(found, question)


def test_what_a_template_sees() -> None:
    template = (
        "{% for p in passages %}{{ p.number }}|{{ p.text }}|{{ p.score }}|{{ p.metadata }}\n{% endfor %}"
        "{{ context }}|{{ question }}|{{ language }}|{{ citations }}|{{ history | map(attribute='role') | join(' ') }}"
    )
    found = prompt(context(template, system="In {{ language }}."), nodes("Aa.", "Bb."), "何时开门？")
    assert found.user == "1|Aa.|0.5|{}\n2|Bb.|0.5|{}\n[1] Aa.\n\n[2] Bb.|何时开门？|zh|number|user assistant user"
    assert found.system == "In zh."


def test_without_citations_there_are_no_numbers() -> None:
    assert prompt(context("{{ context }}", citations="none"), nodes("Aa.", "Bb.")).user == "Aa.\n\nBb."


@given(st.text(st.sampled_from("{}%#-_. \n[]'question"), max_size=60))
def test_a_passage_that_looks_like_a_template_is_text(text: str) -> None:
    found = nodes(f"<{text}>")
    assert prompt(context("{{ context }}{{ question }}"), found, text).user == f"[1] <{text}>{text}".strip()


def test_a_passage_cannot_run_anything() -> None:
    text = "{{ 7 * 7 }} {% for i in range(9) %}x{% endfor %} {question} {{ question.__class__ }}"
    assert text in prompt(context(), nodes(text)).user


def test_the_budget_takes_whole_passages_and_cuts_the_first_alone() -> None:
    long = "word " * 50
    assert prompt(context("{{ context }}", budget=60), nodes(long, long, "short")).user == f"[1] {long}".strip()
    found = prompt(context("{{ context }}", budget=8), nodes(long, "short"))
    assert found.user == "[1] " + " ".join(["word"] * 8)
    assert len(found.nodes) == 1
    assert prompt(context("{{ context }}", budget=7), nodes("饕餮" * 20)).user.strip("[1] 饕餮") == ""


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 5), st.integers(30, 250))
def test_whatever_is_left_out_fits_and_goes_in_order(lengths: list[int], turns: int, holds: int) -> None:
    found = nodes(*(f"P{number} " + "word " * length for number, length in enumerate(lengths)))
    said = parse_history([{"role": "user", "content": f"T{number} " + "said " * 10} for number in range(turns)])
    made = prompt(context(holds=holds), found, history=said)
    assert GPT2.count(made.system) + GPT2.count(made.user) <= holds
    kept = [number for number in range(turns) if f"T{number} " in made.user]
    assert kept == list(range(turns))[turns - len(kept) :]  # the oldest go
    assert list(made.nodes) == found[: len(made.nodes)]
    assert len(made.nodes) >= 1
    if len(kept) < turns:
        assert len(made.nodes) == 1  # passages go before the history
    whole = [node.text.strip() in made.user for node in made.nodes]
    assert all(whole[1:])
    if not whole[0]:
        assert len(made.nodes) == 1
        assert kept == []


def test_a_question_that_is_too_long_for_the_model() -> None:
    with pytest.raises(UserError) as error:
        prompt(context(holds=30), nodes("Aa."), "why " * 40)
    assert str(error.value).startswith("query: with the prompt around it, the question takes ")
    assert str(error.value).endswith(
        " tokens, and the model has room for 30 beside the answer; shorten it, lower generation.max_tokens or raise "
        "the model's context"
    )


def test_the_smallest_model_of_a_chain_counts() -> None:
    small = ChatModel(None, "small", context=100)
    assert Room(ChatModel(None, "large", context=1000, fallbacks=(small,)), 10).for_prompt() == 100 - 10 - FORMATTING
    assert Room(ChatModel(None, "unknown", fallbacks=(small,)), 10).for_prompt() == 100 - 10 - FORMATTING
    assert Room(ChatModel(None, "unknown"), 10).for_prompt() is None


def test_the_prompt_of_a_rewriter_holds_what_fits_of_the_history() -> None:
    source = validate(compose(["llm=extractive"])).prompts.rewrite
    assert source
    with tracing(Trace(history=HISTORY)):
        whole = RewritingPrompt(Template("prompts.rewrite", source), room())("With what key?")
        tokens = GPT2.count(whole.system) + GPT2.count(whole.user)
        short = RewritingPrompt(Template("prompts.rewrite", source), room(holds=tokens - 1))("With what key?")
        none = RewritingPrompt(Template("prompts.rewrite", source), room(holds=1))("With what key?")
    assert whole.user == "With what key?"
    assert whole.system.endswith(
        "The conversation:\nuser: Who opens the harbour?\nassistant: The harbour master.\nuser: With what?"
    )
    assert short.system.endswith("The conversation:\nassistant: The harbour master.\nuser: With what?")
    assert none.system.endswith("Reply with the rewritten question only.")


def test_the_packaged_prompts_with_and_without_a_history() -> None:
    prompts = validate(compose(["llm=extractive"])).prompts.answer
    first = prompt(context(prompts.user, prompts.system), nodes("Aa."), history=())
    assert first.user == "Passages:\n[1] Aa.\n\nQuestion: When?"
    assert first.system == (
        "You answer questions from the numbered passages that you are given, and from nothing else. Answer in one or "
        "two sentences and name the passages you used by their numbers, like [1]. If the passages do not hold the "
        "answer, say that you do not know."
    )
    later = prompt(context(prompts.user, prompts.system, citations="none"), nodes("Aa."))
    assert later.user == (
        "Conversation so far:\nuser: Who opens the harbour?\nassistant: The harbour master.\nuser: With what?\n\n"
        "Passages:\nAa.\n\nQuestion: When?"
    )
    assert "number" not in later.system


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([{"role": "user"}], "history[0] = {'role': 'user'}: a turn has exactly the keys 'role' and 'content'"),
        (
            [HISTORY[0], {"role": "system", "content": "x"}],
            "history[1].role = 'system': allowed: user, assistant",
        ),
        ([{"role": "user", "content": 3}], "history[0].content = 3: must be a text"),
        (["Who?"], "history[0] = 'Who?': a turn has exactly the keys 'role' and 'content'"),
    ],
)
def test_a_history_that_is_none(turns: list[Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_history(turns)
    assert str(error.value) == message
