"""`confrag eval`: real engines on a small dataset, with a server that answers and grades."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from confrag.cli import main
from confrag.cli.eval import job
from tests.chat import ChatServer, Fault, chat_server

TOPICS = ("crane", "ferry", "harbour", "lantern", "anchor", "market", "kettle", "garden")
PLAIN = ("conf=map", "recall=lexical", "llm=extractive")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document and a query for each topic; what is asked for stands in it."""
    folder = tmp_path_factory.mktemp("data") / "topics"
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": f"d/{n}", "title": topic.title(), "text": f"The {topic} has number {n}.", "year": 1960 + n}
        for n, topic in enumerate(TOPICS)
    ]
    queries = [
        {"_id": f"q{n}", "text": f"Which number has the {topic}?", "answers": [f"number {n}"]}
        for n, topic in enumerate(TOPICS)
    ]
    for name, entries in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    rows = "".join(f"q{n}\td/{n}\t1\n" for n in range(len(TOPICS)))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


Evaluate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Evaluate:
    """Runs the command in this process; LazyLLM inspects the stack, so in a thread of its own."""

    def run(*overrides: str) -> tuple[int, str, str]:
        words = ["eval", f"dataset.path='{dataset}'", f"state_dir='{tmp_path / 'state'}'", *overrides]
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(main, words).result()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def number_of(message: str) -> str:
    """A model that answers right, but of the garden and the kettle; that grades by looking, and rewrites nothing."""
    if message.startswith("Which number"):
        return message
    if "Grade: 3" in message or "Answer to grade:" in message:
        return "As it should be.\nGrade: 5" if "is number" in message.rpartition("Answer")[2] else "No.\nGrade: 1"
    topic = next(topic for topic in TOPICS if f"the {topic}?" in message)
    known = TOPICS.index(topic) < 6
    return f"It is number {TOPICS.index(topic)} [1]." if known else "I do not know."


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with chat_server(number_of) as running:
        running.usage = {"prompt_tokens": 100, "completion_tokens": 10}
        yield running


def answering(server: ChatServer) -> tuple[str, ...]:
    llm = (f"models.llm.base_url={server.url}", "models.llm.model=test", "models.llm.retries=0")
    return ("conf=map", "recall=lexical", "llm=openai_compatible", *llm)


def test_retrieval_alone(evaluate: Evaluate, dataset: Path, tmp_path: Path) -> None:
    code, out, _ = evaluate(*PLAIN, "output=json", "doc_fields.year=int", "objective=[mrr@10,latency_ms_p50]")
    found = json.loads(out)
    folder = Path(found.pop("folder"))
    assert code == 0
    assert found == json.loads((folder / "eval.json").read_text())
    assert (found["status"], found["error"], found["failed_queries"], found["conf"]) == ("done", None, 0, "map")
    assert found["overrides"][:3] == [f"dataset.path='{dataset}'", f"state_dir='{tmp_path / 'state'}'", "conf=map"]
    assert list(found["metrics"]) == ["ndcg@10", "recall@10", "mrr@10", "map@10", "p@5"]
    assert found["metrics"]["mrr@10"] == found["objective"]["mrr@10"] == 1.0
    assert found["objective"]["latency_ms_p50"] == found["latency_ms"]["total"]["p50"] > 0
    assert found["dataset"]["documents"] == found["corpus"]["files"] == 8
    assert (found["cost"], found["cache"], found["judge"]) == (None, None, None)
    assert found["provenance"]["models"]["llm"]["kind"] == "extractive"
    rows = lines(folder / "queries.jsonl")
    assert [row["id"] for row in rows] == [f"q{n}" for n in range(8)]
    assert rows[3]["ranking"][0][0] == "d/3"
    assert rows[3]["sources"][0] | {"score": 0} == {
        "file": "d%2F3.txt",
        "document": "d/3",
        "route": "lexical",
        "score": 0,
        "rerank_score": None,
        "text": "Lantern\n\nThe lantern has number 3.",
    }
    assert rows[3]["gold"] == {"documents": {"d/3": 1}, "answers": ["number 3"]}
    assert (rows[3]["answer"], rows[3]["error"]) == (None, None)
    run = [line.split() for line in (folder / "run.trec").read_text().splitlines()]
    assert [(row[0], row[2]) for row in run if row[3] == "1"] == [(f"q{n}", f"d/{n}") for n in range(8)]
    assert "dataset:" in (folder / "config.yaml").read_text()


def test_answers_are_compared_and_graded(evaluate: Evaluate, server: ChatServer) -> None:
    prices = ("models.llm.price.prompt=2", "models.llm.price.completion=5")
    small = f"{{kind: openai_compatible, role: chat, base_url: '{server.url}', model: other, price: {{prompt: 1}}}}"
    steps = "{rewrite: {kind: rewrite, model: small}, search: {kind: retrieve, retriever: lexical}}"
    rewriting = (f"+models.small={small}", "~recall.steps", f"+recall.steps={steps}")
    code, out, _ = evaluate(
        *answering(server), *rewriting, *prices, "eval.judge=llm", "eval.concurrency=4", "output=json"
    )
    found = json.loads(out)
    assert code == 0
    measured = found["metrics"]
    # Of the answers, 6 of 8 hold what is right: "it is number 3" shares two words of four with "number 3".
    assert measured["exact_match"] == 0.0
    assert measured["contains"] == 0.75
    assert measured["f1"] == pytest.approx(0.75 * 2 / 3)
    assert measured["judge"] == 0.75
    assert measured["citation_precision"] == 1.0
    # Each query was rewritten by one model and answered by the other. One more went before, which is not counted.
    assert server.asked.count("Which number has the crane? ?") == 1
    assert sum(request["model"] == "other" for request in server.requests) == len(TOPICS) + 1
    assert found["tokens"] == {"prompt": 1600, "completion": 160}
    assert found["cost"] == {"amount": pytest.approx((800 * 2 + 80 * 5 + 800 * 1) / 1e6), "currency": "USD"}
    assert found["latency_ms"].keys() == {"rewrite", "retrieve", "generate", "total"}
    judge = found["judge"]
    assert (judge["model"], judge["graded"], judge["unusable"], judge["failed"]) == ("llm", 8, 0, 0)
    assert judge["agreement"] == {"kappa": 1.0, "accuracy": 1.0, "with": "f1", "queries": 8}
    assert judge["tokens"] == {"prompt": 800, "completion": 80}
    rows = lines(Path(found["folder"]) / "queries.jsonl")
    assert (rows[2]["answer"], rows[2]["citations"]) == ("It is number 2 [1].", [1])
    assert rows[2]["judge"]["reply"] == "As it should be.\nGrade: 5"


def test_a_table_for_people(evaluate: Evaluate) -> None:
    code, out, err = evaluate(*PLAIN, "dataset.queries=3")
    assert code == 0
    assert "map on topics (test): 3 queries, 8 documents" in out
    assert next(line for line in out.splitlines() if "ndcg@10" in line).split() == ["│", "ndcg@10", "│", "1.0000", "│"]
    assert "kept in " in err


def test_what_is_drawn_depends_on_the_seed_alone(evaluate: Evaluate) -> None:
    def drawn(*overrides: str) -> tuple[list[str], str]:
        found = json.loads(evaluate(*PLAIN, "dataset.queries=3", "output=json", *overrides)[1])
        return [row["id"] for row in lines(Path(found["folder"]) / "queries.jsonl")], found["key"]

    first = drawn()
    assert drawn("eval.metrics=p@1") == first
    assert sorted(first[0]) == first[0]
    others = [drawn(f"eval.seed={seed}") for seed in (1, 2)]
    assert {tuple(ids) for ids, _ in others} != {tuple(first[0])}
    assert len({key for _, key in [first, *others]}) == 3


@pytest.mark.parametrize("scope", ["answer", "retrieval"])
def test_the_cache_is_measured(
    scope: str, evaluate: Evaluate, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cached = ("cache=exact", "cache.backend.kind=disk", f"cache.scope={scope}", "output=json")
    rates = [json.loads(evaluate(*PLAIN, *cached)[1])["cache"]["hit_rate"] for _ in range(2)]
    assert rates == [0.0, 1.0]
    # Nothing of the question that warms up.
    assert main(["cache", "stats", *PLAIN, *cached, f"state_dir='{tmp_path / 'state'}'"]) == 0
    kept = json.loads(capfd.readouterr().out)["answers"]
    assert (kept["entries"], kept["hits"], kept["misses"]) == (8, 8, 8)


def test_a_query_that_fails_counts_as_nothing(evaluate: Evaluate, server: ChatServer) -> None:
    server.answer = lambda message: Fault(500) if "the ferry?" in message else number_of(message)
    try:
        code, out, err = evaluate(*answering(server), "output=json")
        found = json.loads(out)
        assert (code, found["status"], found["failed_queries"]) == (0, "done", 1)
        assert found["metrics"]["mrr@10"] == pytest.approx(7 / 8)
        assert "map: 1 of 8 queries failed, the first with: " in err
        row = lines(Path(found["folder"]) / "queries.jsonl")[1]
        assert "gave no answer" in row["error"]
        assert row["metrics"]["mrr@10"] == row["metrics"]["f1"] == 0.0
        server.answer, asked = number_of, len(server.asked)
        # What failed is asked once more, the rest is not.
        found = json.loads(evaluate(*answering(server), "output=json", "resume=true")[1])
        assert (found["failed_queries"], found["metrics"]["mrr@10"]) == (0, 1.0)
        assert len(server.asked) == asked + 1
    finally:
        server.answer = number_of


def test_when_all_fail_the_evaluation_does(evaluate: Evaluate, server: ChatServer, tmp_path: Path) -> None:
    server.answer = lambda message: Fault(500)
    try:
        code, out, err = evaluate(*answering(server), "output=json")
    finally:
        server.answer = number_of
    assert (code, out) == (4, "")
    assert "confrag: none of the first 8 of 8 queries was answered: " in err
    (document,) = (tmp_path / "state" / "runs").rglob("eval.json")
    failed = json.loads(document.read_text())
    assert (failed["status"], failed["exit_code"]) == ("failed", 4)
    assert failed["error"] in err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=f1"], "objective = 'f1': no answers are evaluated; set eval.answers=true"),
        (
            ["objective=judge"],
            "configuration 'map': 1 error\n"
            "  objective = 'judge': needs eval.judge, the name of a chat model that grades",
        ),
        (["query=Who?"], "eval asks the queries of the dataset; leave query= out"),
    ],
)
def test_mistakes(evaluate: Evaluate, overrides: list[str], message: str) -> None:
    code, out, err = evaluate(*PLAIN, *overrides)
    assert (code, out) == (2, "")
    assert err.rstrip("\n").endswith(f"confrag: {message}")


def test_without_a_dataset(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", f"state_dir={tmp_path / 'state'}"]) == 2
    assert capfd.readouterr().err == (
        "confrag: dataset.path: a value is required here: a folder with queries.jsonl, for example; set it with "
        "dataset.path=DIR (confrag eval --help)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_goes_on_after_a_job_that_failed(evaluate: Evaluate, tmp_path: Path) -> None:
    code, _, err = evaluate(*PLAIN[:1], "llm=extractive", "-m", "recall=lexical", "retrievers.lexical.topk=0,1,3")
    assert code == 2
    assert "confrag: job 0 (" in err
    paths = list((tmp_path / "state" / "sweeps").rglob("eval.json"))
    documents = [json.loads(path.read_text()) for path in sorted(paths, key=lambda path: path.parent.name)]
    assert [document["status"] for document in documents] == ["failed", "done", "done"]
    assert documents[0]["error"].endswith("retrievers.lexical.topk = 0: must be greater than or equal to 1")
    assert documents[1]["metrics"]["ndcg@10"] == 1.0
    # The documents lie there once for all.
    assert len(list((tmp_path / "state" / "datasets").iterdir())) == 1


def test_a_job_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(job)) is job


def test_an_interrupted_evaluation_goes_on(
    evaluate: Evaluate, dataset: Path, server: ChatServer, tmp_path: Path
) -> None:
    """Ctrl-C in the middle; what is there is not asked again, and the figures are those of an undisturbed one."""
    words = (*answering(server), "output=json")
    places = (f"dataset.path={dataset}", f"state_dir={tmp_path / 'state'}")
    fourth, before = threading.Event(), len(server.asked)

    def held(message: str) -> str:
        if len(server.asked) - before > 3:
            fourth.set()
            threading.Event().wait(2)
        return number_of(message)

    server.answer = held
    try:
        command = [sys.executable, "-m", "confrag", "eval", *places, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert fourth.wait(120)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        server.answer = number_of
    assert (process.returncode, out) == (130, "")
    assert "the same command with resume=true goes on" in err
    (journal,) = (tmp_path / "state" / "evals").glob("*/queries.jsonl")
    assert len(lines(journal)) == 3
    before = len(server.asked)
    _, out, err = evaluate(*words, "resume=true")
    assert "map: going on; 3 of 8 queries are done" in err
    assert len(server.asked) == before + 5
    resumed = json.loads(out)
    # Once all is there, not even the engine is started.
    listed = server.listed
    again = json.loads(evaluate(*words, "resume=true")[1])
    assert (len(server.asked), server.listed) == (before + 5, listed)
    anew = json.loads(evaluate(*words)[1])
    assert len(server.asked) == before + 13
    for found in (resumed, again):
        assert {name: found[name] for name in ("key", "metrics", "tokens")} == {
            name: anew[name] for name in ("key", "metrics", "tokens")
        }
