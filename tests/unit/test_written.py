"""Nodes that a chat model writes: prompts, what is read from replies, checks of the configuration, the cache."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.build import prepare
from confrag.config import load
from confrag.errors import ConfigError, UserError
from confrag.plan import compile_plan, draw
from confrag.plan.model import GroupPlan, Params, written_groups
from confrag.schema.node_prompts import NODE_PROMPTS, TEXT

prepare()

from confrag.build.transforms.llm import UnusableReplyError, llm_qa, llm_summary  # noqa: E402
from confrag.runtime.reply_cache import ReplyCache, reply_file, task  # noqa: E402

QA = llm_qa(prompt="About {text}")
SUMMARY = llm_summary(prompt="About {text}")
WRITER = ("llm=openai_compatible", "retrievers.chunk.group=QA")


def pairs(reply: str) -> list[tuple[str, str]]:
    return [(node.text, node.answer) for node in QA.nodes(reply)]


@pytest.mark.parametrize(
    "reply",
    [
        "Q: When?\nA: In 1871.\nQ: Where?\nA: In the north.",
        "Here are the pairs:\n\nQ: When?\nA: In 1871.\n\nQ: Where?\nA: In the north.\n",
        "**Q1:** When?\n**A1:** In 1871.\n\n**Q2:** Where?\n**A2:** In the north.",
        "1. Question: When?\n   Answer: In 1871.\n2. Question: Where?\n   Answer: In the north.",
        "- q : When?\n- a : In 1871.\n- q : Where?\n- a : In the north.",
        "问：When?\n答：In 1871.\n问：Where?\n答：In the north.",
        "问题1：When?\n答案1：In 1871.\n问题2：Where?\n回答2：In the north.",
        "Q: When? \r\nA: In 1871.\r\nQ: Where?\r\nA: In the north.\r\nQ: Why?",
        "A: Nothing.\nQ: Lost?\nQ: When?\nA: In 1871.\nQ: Where?\nA: In the north.",
        "Q: When?\nA: In 1871.\nQ: Where?\nA: In the north.\nQ: when?\nA: Again.",
        "Q: When?\nA: In 1871.\nQ: Where?\nA: In the north.\nQ: Who?\nA: It was bu …",
    ],
)
def test_pairs_are_found_however_they_are_marked(reply: str) -> None:
    assert pairs(reply) == [("When?", "In 1871."), ("Where?", "In the north.")]


def test_an_answer_may_have_several_lines() -> None:
    assert pairs("Q: Which?\nA: Two:\n- the first\n- the second") == [("Which?", "Two:\n- the first\n- the second")]


@pytest.mark.parametrize("reply", ["NONE", "none.", "**None**", "无", "无。"])
def test_a_model_may_say_that_there_is_nothing_to_ask(reply: str) -> None:
    assert pairs(reply) == []


@pytest.mark.parametrize(
    "reply", ["", "I cannot.", "Q: When?", "A: In 1871.", "Q:\nA:", '{"question": "When?"}', "Q …"]
)
def test_a_reply_without_a_pair_is_no_reply(reply: str) -> None:
    with pytest.raises(UnusableReplyError, match="no line that begins with Q: is followed by one that begins with A:"):
        pairs(reply)


LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="*:：…"), min_size=1).map(
    str.strip
)


@given(st.lists(st.tuples(LINE, LINE), min_size=1, unique_by=lambda pair: pair[0].casefold()), st.booleans())
def test_what_is_written_as_asked_is_read(written: list[tuple[str, str]], chinese: bool) -> None:
    written = [pair for pair in written if all(pair)]
    marks = ("问：", "答：") if chinese else ("Q: ", "A: ")
    reply = "\n".join(f"{marks[0]}{question}\n{marks[1]}{answer}" for question, answer in written)
    if written:
        assert pairs(reply) == written


@given(st.text())
def test_any_reply_is_read_or_refused(reply: str) -> None:
    try:
        found = pairs(reply)
    except UnusableReplyError:
        return
    assert all(question.strip() and answer.strip() for question, answer in found)


def test_a_summary_is_the_reply() -> None:
    assert [node.text for node in SUMMARY.nodes(" Short.\n")] == ["Short."]
    with pytest.raises(UnusableReplyError, match="it is empty"):
        SUMMARY.nodes(" …")


def test_a_text_is_put_into_the_prompt_as_it_is() -> None:
    assert QA.message("{text} {0} {question}") == "About {text} {0} {question}"


def test_there_is_a_prompt_for_every_kind_and_language() -> None:
    assert set(NODE_PROMPTS) == {"llm_qa", "llm_summary"}
    for prompts in NODE_PROMPTS.values():
        assert set(prompts) == {"en", "zh"}
        assert all(prompt.count(TEXT) == 1 for prompt in prompts.values())
        assert re.search("[一-龥]", prompts["zh"])
        assert not re.search("[一-龥]", prompts["en"])


def test_there_is_no_example_in_a_prompt_that_a_model_could_copy() -> None:
    for prompt in NODE_PROMPTS["llm_qa"].values():
        with pytest.raises(UnusableReplyError):
            pairs(prompt)


def configured(*overrides: str, **transform: Any) -> Any:
    written = ", ".join(f"{key}: {value}" for key, value in {"kind": "llm_qa", **transform}.items())
    group = f"+node_groups.QA={{parent: MediumChunk, transform: {{{written}}}}}"
    return compile_plan(load("map", [*WRITER, group, *overrides])[1])


def test_the_plan_spells_out_the_prompt_and_names_the_model() -> None:
    plan = configured(language="zh")
    group = plan.groups[-1]
    assert (group.name, group.kind, group.model) == ("QA", "llm_qa", "llm")
    assert group.params["prompt"] == NODE_PROMPTS["llm_qa"]["zh"]
    assert written_groups(plan.groups) == (group,)
    assert "请" not in draw(plan, "text")
    assert plan.only_for_ingest == frozenset()


def test_what_determines_the_rows_determines_the_collection() -> None:
    plain = configured().collection
    assert configured(concurrency=9, retries=0, max_calls=5).collection == plain
    assert configured("models.llm.timeout_s=5", "models.llm.verify_at_start=false").collection == plain
    others = {
        configured("models.llm.model=other").collection,
        configured("models.llm.base_url=http://127.0.0.1:9/v1").collection,
        configured(language="zh").collection,
        configured(max_tokens=99).collection,
        configured(prompt="'Ask of {text}'").collection,
        configured(kind="llm_summary").collection,
    }
    assert len({plain, *others}) == 7


def test_groups_below_a_written_one_wait_for_it() -> None:
    groups = (
        GroupPlan("a", "root", "split", Params(), ()),
        GroupPlan("b", "a", "llm_qa", Params(), (), "llm"),
        GroupPlan("c", "b", "split", Params(), ()),
        GroupPlan("d", "a", "split", Params(), ()),
    )
    assert [group.name for group in written_groups(groups)] == ["b", "c"]


@pytest.mark.parametrize(
    ("transform", "overrides", "problem"),
    [
        (
            {"model": "lln"},
            (),
            "node_groups.QA.transform.model = 'lln': there is no model with the role 'chat' of this name; known: llm. "
            "Did you mean 'llm'?",
        ),
        (
            {"model": "embed"},
            (),
            "node_groups.QA.transform.model = 'embed': there is no model with the role 'chat' of this name; known: llm",
        ),
        (
            {},
            ("llm=extractive",),
            "node_groups.QA.transform.model = 'llm': a model of the kind 'extractive' quotes and cannot write; "
            "name another",
        ),
        (
            {"prompt": "'Ask something'"},
            (),
            "prompt has no {text}, so the model would not see the passage",
        ),
        ({"language": "fr"}, (), "node_groups.QA.transform.language = 'fr': "),
        ({"max_calls": -1}, (), "node_groups.QA.transform.max_calls = -1: "),
        ({"concurrency": 0}, (), "node_groups.QA.transform.concurrency = 0: "),
    ],
)
def test_mistakes(transform: dict[str, Any], overrides: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(*overrides, **transform)
    assert problem in str(caught.value)


def test_a_cache_of_replies(tmp_path: Path) -> None:
    path = reply_file(str(tmp_path))
    cache = ReplyCache(path)
    for number in range(1200):
        cache.put("task", f"text {number}", f"reply {number}")
    cache.put("other", "text 1", "another reply")
    cache.put("task", "text 2", "a later reply \ud800")
    cache.close()
    again = ReplyCache(path)
    found = again.get("task", [f"text {number}" for number in range(1300)])
    assert len(found) == 1200
    assert found["text 1"] == "reply 1"
    assert found["text 2"] == "a later reply ?"
    assert again.get("nothing", ["text 1"]) == {}
    again.close()


def test_a_cache_takes_writers_from_many_threads(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite3")
    threads = [
        threading.Thread(target=lambda start=start: [cache.put("t", f"{n}", "r") for n in range(start, start + 50)])
        for start in range(0, 400, 50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.get("t", [str(n) for n in range(500)])) == 400
    cache.close()


def test_a_file_that_is_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite3"
    path.write_text("not a database, but long enough to be taken for one by its size alone " * 20)
    with pytest.raises(UserError, match=r"replies\.sqlite3 cannot be used as cache of replies: .* Delete it"):
        ReplyCache(path)


def test_groups_of_other_names_share_a_task() -> None:
    params = Params({"model": "llm", "prompt": "p", "max_tokens": 9, "concurrency": 4})
    one = GroupPlan("one", "a", "llm_qa", params, ("embed",), "llm")
    two = GroupPlan("two", "b", "llm_qa", Params({**params, "model": "m", "concurrency": 1}), (), "m")
    assert task(one, "same model") == task(two, "same model")
    assert task(one, "same model") != task(one, "another model")
