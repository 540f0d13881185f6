"""Questions about documents of one's own: `confrag eval` on the corpus as it is, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import confrag
from confrag.cli import main

PLAIN = ("conf=map", "recall=lexical", "llm=extractive")
DOCUMENTS = {
    "faq.md": "# Questions\n\nThe kettle stands in the kitchen.",
    "guides/dogs.md": "# Dogs\n\nDogs sleep in the barn.",
    "guides/opening hours.html": "<html><body><h1>Hours</h1><p>The museum opens at ten.</p></body></html>",
    "prices.csv": "ticket,euros\nadult,12\nchild,5\n",
}
QUESTIONS: list[dict[str, Any]] = [
    {"text": "Where is the kettle?", "files": ["faq.md"], "answers": ["in the kitchen"]},
    {"text": "Where do dogs sleep?", "files": ["guides/dogs.md"]},
    {"_id": "hours", "text": "When does the museum open?", "files": ["guides/opening hours.html"]},
    {"text": "What does an adult ticket cost?", "files": ["prices.csv"], "answers": ["12 euros"]},
]
Evaluate = Callable[..., tuple[int, str, str]]


def write(folder: Path, documents: dict[str, str] = DOCUMENTS) -> Path:
    for name, text in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: documents in `docs`, questions in `questions`."""
    write(tmp_path / "docs")
    ask(tmp_path, *QUESTIONS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(place: Path, *questions: Any) -> None:
    """Write the questions; each is a line."""
    (place / "questions").mkdir(exist_ok=True)
    texts = [question if isinstance(question, str) else json.dumps(question) for question in questions]
    (place / "questions" / "queries.jsonl").write_text("".join(f"{text}\n" for text in texts), "utf-8")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Evaluate:
    """Runs a command in this process; LazyLLM inspects the stack, so in a thread of its own."""

    def run(*words: str) -> tuple[int, str, str]:
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(main, list(words)).result()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def evaluate(place: Path, command: Evaluate) -> Evaluate:
    return lambda *overrides: command("eval", *PLAIN, "corpus.path=docs", "dataset.path=questions", *overrides)


def test_the_corpus_as_it_is(evaluate: Evaluate, place: Path) -> None:
    code, out, err = evaluate("output=json", "eval.answers=true")
    assert code == 0, err
    found = json.loads(out)
    assert {key: found["dataset"][key] for key in ("name", "split", "documents", "own", "queries", "language")} == {
        "name": "questions",
        "split": None,
        "documents": 4,
        "own": True,
        "queries": 4,
        "language": "en",
    }
    assert (found["metrics"]["recall@10"], found["metrics"]["ndcg@10"]) == (1.0, 1.0)
    assert found["metrics"]["contains"] == 0.5
    assert found["corpus"]["files"] == 4
    rows = {row["id"]: row for row in lines(Path(found["folder"]) / "queries.jsonl")}
    assert list(rows) == ["1", "2", "hours", "4"]
    assert rows["hours"]["gold"]["documents"] == {"guides/opening hours.html": 1}
    assert rows["hours"]["ranking"][0][0] == rows["hours"]["sources"][0]["file"] == "guides/opening hours.html"
    run = [line.split() for line in (Path(found["folder"]) / "run.trec").read_text("utf-8").splitlines()]
    assert {len(columns) for columns in run} == {6}
    assert "guides/opening%20hours.html" in {columns[2] for columns in run if columns[0] == "hours"}
    # Neither copied nor touched.
    assert not (place / ".confrag" / "datasets").exists()
    assert {p.relative_to("docs").as_posix(): p.read_text("utf-8") for p in Path("docs").rglob("*.*")} == DOCUMENTS


def test_what_makes_two_evaluations_the_same(evaluate: Evaluate, place: Path) -> None:
    first = json.loads(evaluate("output=json")[1])
    code, out, err = evaluate("output=json", "resume=true")
    assert (code, json.loads(out)["key"]) == (0, first["key"])
    assert "map: going on; 4 of 4 queries are done" in err
    (place / "docs" / "faq.md").write_text("# Questions\n\nThe kettle stands in the cellar.")
    code, out, err = evaluate("output=json", "resume=true")
    changed = json.loads(out)
    assert (code, "going on" in err) == (0, False)
    assert changed["key"] != first["key"]
    assert changed["corpus"]["version"] != first["corpus"]["version"]
    assert changed["dataset"]["hash"] != first["dataset"]["hash"]


def test_a_repetition_is_the_same_until_a_document_changes(evaluate: Evaluate, command: Evaluate, place: Path) -> None:
    folder = json.loads(evaluate("output=json")[1])["folder"]
    assert command("rerun", folder)[0] == 0
    (place / "docs" / "guides" / "dogs.md").write_text("# Cats\n\nThey live in the attic.")
    code, out, _ = command("rerun", folder, "output=json")
    assert code == 3
    assert {entry["what"] for entry in json.loads(out)["circumstances"]} >= {"corpus.version", "dataset.hash"}


def test_documents_that_were_added_and_taken_out_count(evaluate: Evaluate, place: Path) -> None:
    with confrag.load("map", overrides=[*PLAIN[1:], "corpus.path=docs"]) as app:
        app.documents.add(BytesIO(b"The lantern hangs in the attic."), "lantern.txt")
        app.documents.delete(next(entry.id for entry in app.documents.list() if entry.name == "prices.csv"))
    ask(place, *QUESTIONS[:3], {"text": "Where does the lantern hang?", "files": ["lantern.txt"]})
    found = json.loads(evaluate("output=json")[1])
    assert (found["dataset"]["documents"], found["metrics"]["recall@10"]) == (4, 1.0)
    ask(place, *QUESTIONS)
    assert evaluate()[2] == (
        "confrag: dataset.path = 'questions': 1 mistake\n"
        "  queries.jsonl:4: there is no file 'prices.csv' in the corpus (corpus.path: docs)\n"
    )


def test_from_a_sweep_to_a_preset_that_answers(evaluate: Evaluate, command: Evaluate, place: Path) -> None:
    code, out, err = evaluate("-m", "retrievers.lexical.topk=1,6")
    assert code == 0, err
    assert "questions, 4 queries" in out
    (report,) = place.rglob("report.html")
    assert f"report: {report}" in err
    assert "guides/opening hours.html" in report.read_text("utf-8")
    code, out, _ = command("report", "export", str(report.parent), "name=best", "--config-dir", "own")
    assert (code, "corpus.path" in out) == (0, False)
    assert "path: docs" in (place / "own" / "conf" / "best.yaml").read_text("utf-8")
    code, out, _ = command("run", "--config-dir", "own", "conf=best", "query=Where is the kettle?")
    assert (code, "in the kitchen" in out) == (0, True)


def test_a_mistake_that_all_jobs_of_a_sweep_share_is_told_once(evaluate: Evaluate, place: Path) -> None:
    ask(place, {"text": "Where?"})
    code, out, err = evaluate("-m", "retrievers.lexical.topk=1,6")
    assert (code, out) == (2, "")
    assert err == (
        "confrag: dataset.path = 'questions': 1 mistake\n"
        "  queries.jsonl:1: neither 'files' nor 'answers': nothing to compare with; give one of them\n"
    )
    assert not (place / ".confrag").exists()


def test_the_help_shows_a_line(command: Evaluate, place: Path) -> None:
    _, out, _ = command("eval", "--help")
    (example,) = (json.loads(line) for line in out.splitlines() if line.startswith("  {"))
    assert example.keys() == {"text", "files", "answers"}


@pytest.mark.parametrize(
    ("questions", "overrides", "message"),
    [
        (
            [{"text": "Where?", "files": ["fqa.md"]}],
            [],
            "dataset.path = 'questions': 1 mistake\n"
            "  queries.jsonl:1: there is no file 'fqa.md' in the corpus (corpus.path: docs). Did you mean 'faq.md'?",
        ),
        (
            ["Where?"],
            [],
            "dataset.path = 'questions': 1 mistake\n"
            "  queries.jsonl:1: no JSON: Expecting value: line 1 column 1 (char 0)",
        ),
        (
            [],
            [],
            "dataset.path = 'questions': 1 mistake\n  queries.jsonl: there is nothing in it; write a line for each "
            'question, like {"text": "When is it open?", "files": ["faq.md"]}',
        ),
        (
            QUESTIONS,
            ["dataset.path=questions/queries.jsonl"],
            "configuration 'map': 1 error\n"
            "  dataset.path = 'questions/queries.jsonl': is a file; name the folder that it is in: 'questions'",
        ),
        (
            QUESTIONS,
            ["dataset.path=docs"],
            "configuration 'map': 1 error\n  dataset.path = 'docs': is no dataset: queries.jsonl must be in it, with "
            'a line for each question, like {"text": "When is it open?", "files": ["faq.md"]}',
        ),
        (
            QUESTIONS,
            ["corpus.path=docs/guides"],
            "dataset.path = 'questions': 4 mistakes\n"
            "  queries.jsonl:1: there is no file 'faq.md' in the corpus (corpus.path: docs/guides)\n"
            "  queries.jsonl:2: there is no file 'guides/dogs.md' in the corpus (corpus.path: docs/guides). "
            "Did you mean 'dogs.md'?\n"
            "  queries.jsonl:3: there is no file 'guides/opening hours.html' in the corpus (corpus.path: docs/guides). "
            "Did you mean 'opening hours.html'?\n"
            "  queries.jsonl:4: there is no file 'prices.csv' in the corpus (corpus.path: docs/guides)",
        ),
        (
            QUESTIONS,
            ["corpus.path=elsewhere"],
            "dataset.path = 'questions': 1 mistake\n"
            "  queries.jsonl: none of the 4 files that it names is in the corpus (corpus.path: elsewhere; there: "
            "'x.txt'); set the folder that the questions are about with corpus.path=DIR",
        ),
        (
            QUESTIONS,
            ["corpus.path=[docs,questions]"],
            "dataset.path = 'questions': queries.jsonl is one of the documents, too, so that questions would find "
            "themselves; move it to a folder of its own, or leave it out: corpus.exclude=['questions/queries.jsonl']",
        ),
        (
            [{"text": "Where?", "answers": ["here"]}],
            ["objective=ndcg@10"],
            "objective = 'ndcg@10': the dataset does not say which documents are relevant (files or qrels); take f1, "
            "for instance",
        ),
    ],
    ids=[
        "unknown file",
        "no JSON",
        "empty",
        "a file",
        "no questions",
        "a part",
        "another corpus",
        "a document, too",
        "answers alone",
    ],
)
def test_mistakes(evaluate: Evaluate, place: Path, questions: list[Any], overrides: list[str], message: str) -> None:
    write(place / "elsewhere", {"x.txt": "Nothing."})
    ask(place, *questions)
    code, out, err = evaluate(*overrides)
    assert (code, out, err) == (2, "", f"confrag: {message}\n")
