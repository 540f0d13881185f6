"""What `confrag validate` says of `dataset`, `eval`, `objective`, prices and the judge's prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from confrag.config import compose, load, validate
from confrag.config.evaluation_checks import questions
from confrag.errors import ConfigError
from confrag.plan import compile_plan

METRICS = "ndcg@K, recall@K, mrr@K, map@K, p@K, success@K"
OTHERS = (
    "exact_match, f1, contains, citation_precision, judge, latency_ms_mean, latency_ms_p50, latency_ms_p95, "
    "latency_ms_p99, cost"
)
SERVER = ("llm=openai_compatible", "models.llm.price.prompt=1")


def faults(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(compose(["conf=map", *overrides]), questions)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["eval.metrics=[ndgc@10]"],
            f"eval.metrics.0: 'ndgc@10' is no metric of retrieval; known: {METRICS} (K: how many documents count). "
            "Did you mean 'ndcg@10'?",
        ),
        (
            ["eval.metrics=f1"],
            f"eval.metrics: 'f1' is no metric of retrieval; known: {METRICS} (K: how many documents count)",
        ),
        (
            ["objective=ndcg"],
            f"objective: 'ndcg' is nothing that is measured; known: {METRICS}, {OTHERS}. Did you mean 'ndcg@10'?",
        ),
        (["eval.answers=perhaps"], "eval.answers: must be auto, true or false, and is 'perhaps'"),
        (["dataset.split=../test"], "dataset.split = '../test': must match pattern '^[\\w.-]+$'"),
        (
            ["eval.judge=llm", "llm=extractive"],
            "eval.judge = 'llm': a model of the kind 'extractive' quotes and cannot grade; name another",
        ),
        (
            ["eval.judge=lm"],
            "eval.judge = 'lm': there is no model with the role 'chat' of this name; known: llm. Did you mean 'llm'?",
        ),
        (
            ["eval.judge=llm", "prompts.judge=null"],
            "prompts.judge: required where eval.judge names a model, and missing",
        ),
        (
            ["models.embed.price.prompt=1"],
            "models.embed.price: tokens are counted of chat models only; leave it out",
        ),
        (["objective=judge"], "objective = 'judge': needs eval.judge, the name of a chat model that grades"),
        (
            ["prompts.judge.user='{{ question }} {{ answr }}'"],
            "prompts.judge.user = '{{ question }} {{ answr }}': line 1: there is no 'answr' here; known: answer, "
            "answers, context, language, question. Did you mean 'answer'?",
        ),
        (
            ["prompts.judge.user='{{ question }}'"],
            "prompts.judge.user = '{{ question }}': has no {{ answer }}, so the model would not see it",
        ),
    ],
)
def test_what_is_wrong(overrides: list[str], message: str) -> None:
    assert message in faults(*overrides)


def test_who_does_not_evaluate_can_do_without_the_dataset(tmp_path: Path) -> None:
    assert load("map", [f"dataset.path='{tmp_path / 'gone'}'"])[1].dataset.path


def test_a_dataset_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cranfield").mkdir()
    assert faults("dataset.path=cranfeld") == [
        "dataset.path = 'cranfeld': there is no such folder. Did you mean 'cranfield'?"
    ]
    assert faults("dataset.path=cranfield") == [
        "dataset.path = 'cranfield': is no dataset: queries.jsonl must be in it, with a line for each question, like "
        '{"text": "When is it open?", "files": ["faq.md"]}'
    ]
    Path("cranfield/queries.jsonl").write_text("")
    assert faults("dataset.path=cranfield/queries.jsonl") == [
        "dataset.path = 'cranfield/queries.jsonl': is a file; name the folder that it is in: 'cranfield'"
    ]


def test_one_objective_or_several() -> None:
    assert load("map")[1].objective == ("ndcg@10",)
    assert load("map", ["objective=[f1,latency_ms_p95]"])[1].objective == ("f1", "latency_ms_p95")


def test_nothing_stored_depends_on_a_price() -> None:
    plans = [compile_plan(load("cached", ["llm=openai_compatible", *more])[1]) for more in ([], SERVER[1:])]
    assert plans[0] == plans[1]
    assert load("map", SERVER)[1].models["llm"].price is not None
