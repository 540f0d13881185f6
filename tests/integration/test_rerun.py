"""`confrag rerun`: a job again, from what it has left."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from confrag.cli import main
from confrag.evaluate.differences import Difference, of_answers, of_circumstances, of_evaluations
from tests.topics import write_topics

PLAIN = ("conf=map", "recall=lexical", "llm=extractive")
Confrag = Callable[..., tuple[int, str, str]]


@pytest.fixture
def confrag(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Confrag:
    """The command in this process and in a folder of its own; LazyLLM inspects the stack, so in a thread."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(main, list(words)).result()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def kept(file: str) -> Path:
    """The folder of the only job."""
    (path,) = Path(".confrag/runs").rglob(file)
    return path.parent


def test_an_evaluation_again(confrag: Confrag, tmp_path: Path) -> None:
    dataset = write_topics(tmp_path / "topics")
    assert confrag("eval", *PLAIN, f"dataset.path={dataset}")[0] == 0
    job = kept("eval.json")
    provenance = json.loads((job / "eval.json").read_text())["provenance"]
    assert {"confrag", "python", "packages", "models", "seed", "machine", "started", "ended"} <= set(provenance)
    code, out, err = confrag("rerun", str(job), "state_dir=another")
    assert (code, out) == (0, "circumstances: the same\nresults: the same\n")
    assert "kept in another/runs/" in err

    # A document says something else: another dataset, other figures.
    corpus = dataset / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("The crane has number 0.", "Nothing is known."))
    code, out, _ = confrag("rerun", str(job), "output=json")
    found = json.loads(out)
    assert (code, found["equal"], found["job"]) == (3, False, str(job))
    assert [d["what"] for d in found["circumstances"]] == ["corpus.version", "dataset.hash"]
    changed = {d["what"]: (d["before"], d["now"]) for d in found["results"]}
    assert changed["metrics.ndcg@10"] == (1.0, 0.875)
    assert changed["query q0.metrics.ndcg@10"] == (1.0, 0.0)
    assert changed["query q0.ranking"][0][0] == "d0"
    assert not any(what.startswith("query q1.metrics") for what in changed)
    assert json.loads((Path(found["folder"]) / "eval.json").read_text())["metrics"]["ndcg@10"] == 0.875


def test_a_run_again(confrag: Confrag, harbour: Path) -> None:
    question = "When does the harbour office open, and why?"
    assert confrag("run", *PLAIN, f"corpus.path={harbour}", f"query={question}")[0] == 0
    job = kept("run.json")
    document = json.loads((job / "run.json").read_text())
    assert document["provenance"]["models"]["llm"]["kind"] == "extractive"
    assert document["provenance"]["machine"]["cores"] > 0
    assert confrag("rerun", str(job))[:2] == (0, "circumstances: the same\nresults: the same\n")

    (harbour / "office.txt").write_text("The harbour office opens at ten o'clock.")
    code, out, _ = confrag("rerun", str(job))
    lines = out.splitlines()
    assert code == 3
    assert lines[0] == "circumstances: different"
    assert lines[1].startswith("  corpus.version: ")
    assert lines[2] == "results: different"
    assert lines[3].startswith(f"  '{question}'.answer: No model was asked.")
    assert lines[4].startswith(f"  '{question}'.sources: ")

    # Somewhere else, the documents lie somewhere else.
    moved = harbour.rename(harbour.with_name("moved"))
    code, _, err = confrag("rerun", str(job))
    assert code == 2
    assert err.endswith(f"  corpus.path = '{harbour}': there is no such file or folder\n")
    assert confrag("rerun", str(job), f"corpus.path={moved}")[0] == 3


def test_mistakes(confrag: Confrag, tmp_path: Path) -> None:
    job = tmp_path / "job"
    for words, message in (
        ([], "rerun takes the folder of one job, and not none: confrag rerun DIR"),
        (["a", "b"], "rerun takes the folder of one job, and not 2: confrag rerun DIR"),
        (["job"], "job: there is no such folder"),
        (
            ["job", "stat_dir=x"],
            "'stat_dir=x' is not understood: a job is repeated as it was; options of rerun: state_dir, corpus.path, "
            "dataset.path, output, progress, verbose, debug. Did you mean 'state_dir'?",
        ),
    ):
        assert confrag("rerun", *words) == (2, "", f"confrag: {message}\n")
    job.mkdir()
    assert confrag("rerun", "job")[2] == (
        "confrag: job: no job of 'confrag run' or 'confrag eval' is kept there (neither eval.json nor run.json); of a "
        "sweep, name a numbered folder\n"
    )
    (job / "run.json").write_text(json.dumps({"error": "nothing answers", "provenance": {}}))
    assert confrag("rerun", "job")[2] == (
        "confrag: job/config.yaml: the file is missing; without it a job cannot be repeated\n"
    )
    (job / "config.yaml").write_text("a: [")
    assert confrag("rerun", "job")[2].startswith("confrag: job/config.yaml: cannot be read: ")
    (job / "config.yaml").write_text("conf: map")
    assert confrag("rerun", "job")[2] == (
        "confrag: job/run.json: the job failed, so that there is nothing to compare with: nothing answers\n"
    )


def test_a_configuration_that_is_no_longer_understood(confrag: Confrag, harbour: Path) -> None:
    assert confrag("run", *PLAIN, f"corpus.path={harbour}", "query=x")[0] == 0
    job = kept("run.json")
    data = yaml.safe_load((job / "config.yaml").read_text())
    data["retrievers"]["lexical"]["depth"] = 3
    (job / "config.yaml").write_text(yaml.safe_dump(data))
    code, _, err = confrag("rerun", str(job))
    assert code == 2
    assert err.startswith("confrag: configuration 'map': 1 error\n  retrievers.lexical.depth")


BEFORE = {
    "provenance": {"packages": {"numpy": "1.26.4"}, "machine": {"cores": 2}, "seed": 0, "started": "a", "ended": "b"},
    "corpus": {"version": "x"},
    "metrics": {"ndcg@10": 0.5},
}
ROW = {"metrics": {"ndcg@10": 0.5}, "ranking": [["d1", 0.9], ["d2", 0.8]], "answer": None, "error": None}


def test_circumstances_are_all_but_the_time() -> None:
    now = {
        **BEFORE,
        "provenance": {
            "packages": {"numpy": "2.0", "scipy": "1.15"},
            "machine": {"cores": 2},
            "seed": 1,
            "started": "c",
        },
    }
    assert of_circumstances(BEFORE, BEFORE) == []
    assert of_circumstances(BEFORE, now) == [
        Difference("packages.numpy", "1.26.4", "2.0"),
        Difference("packages.scipy", None, "1.15"),
        Difference("seed", 0, 1),
    ]


def test_scores_are_no_results_and_places_are() -> None:
    nudged = {**ROW, "ranking": [["d1", 0.8999], ["d2", 0.8]]}
    swapped = {**ROW, "ranking": [["d2", 0.9], ["d1", 0.8]]}
    assert of_evaluations(BEFORE, BEFORE, {"1": ROW}, {"1": nudged}) == []
    assert of_evaluations(BEFORE, BEFORE, {"1": ROW}, {"1": swapped}) == [
        Difference("query 1.ranking", ["d1", "d2"], ["d2", "d1"])
    ]
    assert [d.what for d in of_evaluations(BEFORE, BEFORE, {"1": ROW}, {})] == ["query 1"]


def test_answers_and_their_sources() -> None:
    answer = {"query": "why?", "answer": "so", "sources": [{"file": "a", "text": "b", "score": 1.0}]}
    assert of_answers([answer], [{**answer, "sources": [{"file": "a", "text": "b", "score": 2.0}]}]) == []
    assert of_answers([answer], [{**answer, "answer": "no"}]) == [Difference("'why?'.answer", "so", "no")]
