"""From rankings, verdicts and timings to figures: values against those that were computed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from confrag.evaluate import summary
from confrag.evaluate.dataset import Dataset, Query
from confrag.evaluate.journal import Journal
from confrag.evaluate.judge import Judge, agreement, parse_grade, score
from confrag.evaluate.retrieval import retrieval_metrics
from confrag.schema.models import PriceSpec

NAMES = ["ndcg@3", "recall@3", "mrr@3", "map@3", "p@3", "success@1"]


def test_metrics_of_a_ranking() -> None:
    # Relevant: a (2) and b (1); a stands second, b fourth.
    found = retrieval_metrics(NAMES, {"q": {"a": 2, "b": 1, "x": 0}}, {"q": ["x", "a", "y", "b"]})["q"]
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    expected = [(2 / math.log2(3)) / ideal, 1 / 2, 1 / 2, (1 / 2) / 2, 1 / 3, 0.0]
    assert list(found) == NAMES
    assert list(found.values()) == pytest.approx(expected)


def test_the_order_counts_not_the_names() -> None:
    """trec_eval sorts equal scores by name; rankings of one length must not depend on it."""
    judged = {"q": {"a": 1}}
    assert retrieval_metrics(["mrr@10"], judged, {"q": ["a", "b", "c"]})["q"]["mrr@10"] == 1.0
    assert retrieval_metrics(["mrr@10"], judged, {"q": ["c", "b", "a"]})["q"]["mrr@10"] == pytest.approx(1 / 3)


def test_a_query_that_finds_nothing_counts() -> None:
    found = retrieval_metrics(["ndcg@10", "p@5"], {"q": {"a": 1}, "r": {"b": 1}}, {"q": ["a"], "r": []})
    assert found == {"q": {"ndcg@10": 1.0, "p@5": pytest.approx(0.2)}, "r": {"ndcg@10": 0.0, "p@5": 0.0}}


def row(identity: str, **more: Any) -> dict[str, Any]:
    plain = {"ranking": [], "answer": "", "sources": [], "citations": [], "timings_ms": {}, "tokens": {}}
    return {"id": identity, **plain, "cached": False, "partial": False, "error": None, **more}


def dataset(*queries: Query) -> Dataset:
    return Dataset(Path("d"), "test", (), queries, True, "en", "", "")


def test_rows_get_their_metrics() -> None:
    queries = (Query("q", "Which?", {"a": 1}, ("the crane",)), Query("r", "Who?", {"b": 1}, ()))
    sources = [{"document": "a"}, {"document": "b"}, {"document": "c"}]
    rows = {
        "q": row("q", ranking=[["a", 3.0]], answer="crane [1][3]", sources=sources, citations=[1, 3]),
        "r": {"id": "r", "error": "no answer", "exit_code": 4},
    }
    made = summary.measured(dataset(*queries), queries, rows, ["mrr@10"], answering=True)
    full = {"mrr@10": 1.0, "exact_match": 1.0, "f1": 1.0, "contains": 1.0, "citation_precision": 0.5}
    assert made[0]["metrics"] == full
    assert made[1]["metrics"] == {"mrr@10": 0.0}
    assert (made[1]["query"], made[1]["gold"]) == ("Who?", {"documents": {"b": 1}, "answers": []})
    assert summary.means(made) == {**full, "mrr@10": 0.5}
    without = summary.measured(dataset(*queries), queries, rows, ["mrr@10"], answering=False)
    assert without[0]["metrics"] == {"mrr@10": 1.0}


def test_latencies_by_stage() -> None:
    rows = [row(str(n), timings_ms={"total": float(n), "retrieve": 1.0, "rerank": 0.0}) for n in range(1, 102)]
    assert summary.latencies(rows) == {
        "total": {"mean": 51.0, "p50": 51.0, "p95": 96.0, "p99": 100.0},
        "retrieve": {"mean": 1.0, "p50": 1.0, "p95": 1.0, "p99": 1.0},
    }


def test_cost() -> None:
    used = summary.tokens([{"prompt": 1_500_000, "completion": 100}, {"prompt": 500_000, "completion": 900}, {}])
    assert used == {"prompt": 2_000_000, "completion": 1000}
    large, small = PriceSpec(prompt=0.5, completion=2.0, currency="CNY"), PriceSpec(prompt=0.1, currency="CNY")
    one = {"large": used, "small": {"prompt": 1_000_000, "completion": 7}}
    assert summary.cost([one, {}, {"large": used}], {"large": large, "small": small}) == {
        "amount": 2 * 1.002 + 0.1,
        "currency": "CNY",
    }
    # Nobody was asked, since all was cached.
    assert summary.cost([{}], {"large": large, "small": small}) == {"amount": 0.0, "currency": "CNY"}
    # A model that only stands in needs no price as long as nobody asks it.
    assert summary.cost([{"large": used}], {"large": large, "small": None}) == {"amount": 1.002, "currency": "CNY"}
    for unknown in ({}, {"large": None}, {"large": large, "small": None}, {"large": large, "small": PriceSpec()}):
        assert summary.cost([one], unknown) is None


def test_objectives() -> None:
    document = {
        "metrics": {"ndcg@10": 0.4},
        "latency_ms": {"total": {"mean": 2.0, "p50": 1.0}},
        "cost": {"amount": 0.1, "currency": "USD"},
    }
    names = ["latency_ms_p50", "ndcg@10", "cost", "f1"]
    assert summary.objectives(document, names) == {"latency_ms_p50": 1.0, "ndcg@10": 0.4, "cost": 0.1, "f1": None}


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("It names the wrong year.\n\nGrade: 2", 2),
        ("Grade: 5\n", 5),
        ("**Grade: 4**", 4),
        ("说得对。\n评分：5。", 5),
        ("Grade: 6", None),
        ("Grade: 4/5", None),
        ("I would say Grade: 4", None),
        ("Grade: 4\nBut who knows?", None),
        ("", None),
    ],
)
def test_a_grade_is_read_strictly(reply: str, grade: int | None) -> None:
    assert parse_grade(reply) == grade


def test_a_grade_as_a_number() -> None:
    assert [score(grade) for grade in range(1, 6)] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_what_a_judge_is_shown() -> None:
    asked = []

    def say(system: str, message: str) -> str:
        asked.append((system, message))
        return "Right.\nGrade: 5"

    judge = Judge(say, "Grade in {{ language }}.", "{{ question }} {{ answers | join('|') }}: {{ answer }}")
    values = {"question": "Who?", "answer": "She {{ x }}", "answers": ("She", "Her"), "context": "", "language": "en"}
    verdict = judge(values)
    assert asked == [("Grade in en.", "Who? She|Her: She {{ x }}")]
    assert (verdict.grade, verdict.reply) == (5, "Right.\nGrade: 5")


def test_agreement() -> None:
    # Both say yes 20 times, no 15 times; one alone says yes 5 and 10 times: Cohen's own kind of table, kappa 0.4.
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    found = agreement(pairs)
    assert found is not None
    assert (found.accuracy, found.kappa) == (pytest.approx(0.7), pytest.approx(0.4))
    assert agreement([(True, True)] * 3) == agreement([(False, False)]) != agreement([])
    assert agreement([]) is None


def test_what_a_judge_comes_to() -> None:
    def graded(grade: int | None, f1: float, error: str | None = None) -> dict[str, Any]:
        verdict = {"grade": grade, "reply": "", "error": error, "tokens": {"prompt": 10, "completion": 1}}
        score = {} if grade is None else {"judge": (grade - 1) / 4}
        return {"judge": verdict, "metrics": {"exact_match": 0.0, "f1": f1, **score}}

    rows = [graded(5, 0.9), graded(1, 0.1), graded(4, 0.2), graded(None, 1.0), graded(None, 1.0, "no answer")]
    found = summary.judged([*rows, {"metrics": {}}], "grader", PriceSpec(prompt=1.0))
    assert found == {
        "model": "grader",
        "mean": pytest.approx((1 + 0 + 0.75) / 3),
        "graded": 3,
        "unusable": 1,
        "failed": 1,
        "agreement": {"kappa": pytest.approx(0.4), "accuracy": pytest.approx(2 / 3), "with": "f1", "queries": 3},
        "tokens": {"prompt": 50, "completion": 5},
        "cost": {"amount": 5e-05, "currency": "USD"},
    }


def test_a_journal_goes_on_where_it_was_cut_short(tmp_path: Path) -> None:
    with Journal.opened(tmp_path / "j", resume=False) as journal:
        journal.describe({"corpus": {"files": 2}})
        for made in (row("q"), row("r", error="no answer"), row("s")):
            journal.add(made)
    with (tmp_path / "j" / "queries.jsonl").open("a") as file:
        file.write('{"id": "t", "ranking')  # killed while it was written
    with Journal.opened(tmp_path / "j", resume=True) as journal:
        assert journal.rows == {"q": row("q"), "s": row("s")}
        assert journal.about == {"corpus": {"files": 2}}
        journal.add(row("r"))
    with Journal.opened(tmp_path / "j", resume=True) as journal:
        assert list(journal.rows) == ["q", "s", "r"]
    with Journal.opened(tmp_path / "j", resume=False) as journal:
        assert (journal.rows, journal.about) == ({}, {})
