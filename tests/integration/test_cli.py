"""The command line as a user runs it: processes, exit codes, standard output and standard error."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from confrag.cli import main
from confrag.cli.dispatch import VERBS
from confrag.cli.questions import read_questions
from confrag.errors import UserError

CONFRAG = [sys.executable, "-m", "confrag"]
EXTRACTIVE = ("llm=extractive", "corpus.path=harbour")
QUESTION = "When does the harbour office open?"
models = pytest.mark.models

ANSWER_KEYS = ["query", "answer", "cached", "partial", "citations", "dangling", "sources", "timings_ms", "tokens"]
CORPUS_KEYS = ["version", "files", "added", "changed", "removed", "unchanged", "failed", "nodes", "embedded"]
SOURCE_KEYS = ["id", "file", "group", "score", "rerank_score", "route", "text", "metadata"]


@pytest.fixture
def folder(harbour: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds the corpus `harbour`."""
    monkeypatch.chdir(harbour.parent)
    return harbour.parent


def confrag(*arguments: str, code: int = 0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*CONFRAG, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        input=stdin if stdin is not None else "",
        timeout=180,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a mistake is answered with, in this process; it changes nothing."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sorted(Path.cwd().rglob("*")) == before
    assert err.startswith("confrag: ")
    return err.removeprefix("confrag: ").rstrip("\n")


# Without an engine.


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == main(["-h"]) == main(["help"]) == 0
    out = capsys.readouterr().out
    for verb, (_, summary) in VERBS.items():
        assert f"  {verb:<10}{summary}\n" in out


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"confrag {verb}: {VERBS[verb][1]}\n\nusage: confrag {verb} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["rum"],
            f"there is no verb 'rum'; known: {', '.join(VERBS)}. Did you mean 'run'?",
        ),
        (["run", "--fast"], "there is no flag '--fast'; known: --config-dir DIR, -m, --cfg job, --info, --help"),
        (["run", "--config-dir"], "--config-dir: a value is missing"),
        (["run", "--config-dir", "no"], "--config-dir=no: there is no such folder"),
        (["run", "what?"], "'what?' is not understood: expected key=value (or group=option, or ~key)"),
        (["run", "query="], "query: the question is empty"),
        (["run", "query=a", "query= "], "query: the question is empty"),
        (["validate", "-m"], "validate looks at one configuration; -m belongs to 'confrag run'"),
        (["ls", "nope"], "there is no group 'nope'; known: conf, cache, corpus, dataset, embed, llm"),
        (["models", "pull"], "'models pull' is not understood\nusage: confrag models ls"),
        (["models", "pull", "smolm2"], "no local model is called 'smolm2'. Did you mean 'smollm2-135m'?"),
        (["run", "query=caf\udce9"], "query: not UTF-8; the terminal's encoding (LANG, LC_ALL) should be UTF-8"),
        (["run", "conf=map,chroma"], "'conf=map,chroma' names several values: with -m, run and eval take each of them"),
        (["models", "ls", "output=xml"], "output = 'xml': must be one of: text, json"),
        (["doctor", "perhaps"], "'perhaps' is not understood: expected key=value"),
        (["run", "llm=extractive", "query=x", "state_dir=/sys/confrag"], "/sys/confrag: cannot be written: "),
        (["init"], "'init' is not understood\nusage: confrag init DIR"),
        (["init", "harbour"], "harbour exists and is not an empty folder; name another one"),
        (["run", "queries_file=no.txt"], "configuration 'quickstart': 1 error\n  queries_file = 'no.txt': there is no"),
        (["run", "queries_file=harbour"], "queries_file=harbour: Is a directory"),
        (["run", "conf=mapp"], "conf=mapp: there is no such preset; known: "),
        (["run", "-m", "conf=map,chrome"], "conf=chrome: there is no such preset; known: "),
        (["run", "-m", "conf=map,chroma", "llm=nope"], "llm=nope: there is no such option of llm; known: "),
        (["run", "corpus.path=nowhere"], "configuration 'quickstart': 1 error\n  corpus.path = 'nowhere': there is no"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_changes_nothing(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(arguments, capsys).startswith(message)


@pytest.mark.parametrize("stumbled", [ValueError, AttributeError])
def test_an_interrupt_that_a_library_stumbles_over(
    stumbled: type[Exception], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As OmegaConf does it, where something is half done."""

    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise stumbled("'NoneType' object has no attribute '_invalidate_flags_cache'")

    monkeypatch.setattr(import_module("confrag.config.compose"), "hydra_compose", interrupted)
    assert main(["validate"]) == 130
    assert capsys.readouterr() == ("", "confrag: interrupted\n")


def test_a_traceback_only_when_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "output=xml", "debug=true"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_standard_output_that_lacks_letters_or_is_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["graph", "conf=hybrid"]) == 0
    assert b"?? lexical: MediumChunk by bm25, top 20" in written.getvalue()
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["graph", "conf=hybrid"]) == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\n\n  b  \n", ["a", "b"]),
        (b'{"query": "a"}\n{"query": "b, \\"c\\"", "id": 1}\n', ["a", 'b, "c"']),
        (b"\xef\xbb\xbfa\r\nb", ["a", "b"]),
        ("中文？\n[x], {y}\n".encode(), ["中文？", "[x], {y}"]),
        ("a\u2028b\x0cc\n".encode(), ["a\u2028b\x0cc"]),
        (b"", "queries_file={}: there is no question in it"),
        (b" \n\n", "queries_file={}: there is no question in it"),
        (b"caf\xe9\n", "queries_file={}: not UTF-8; save the file as UTF-8"),
        (b"a\n{b\n", 'queries_file={}:2: not a JSON object with the key "query"'),
        (b'{"question": "a"}\n', 'queries_file={}:1: not a JSON object with the key "query"'),
        (b'{"query": 1}\n', 'queries_file={}:1: "query" is not a text'),
        (b'{"query": " "}\n', "queries_file={}:1: the question is empty"),
    ],
)
def test_a_file_of_questions(
    content: bytes, expected: list[str] | str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "questions"
    path.write_bytes(content)
    if isinstance(expected, list):
        assert read_questions(path) == expected
        return
    with pytest.raises(UserError) as caught:
        read_questions(path)
    assert str(caught.value) == expected.format(path)
    assert refused(["run", f"queries_file={path}"], capsys) == expected.format(path)


def test_show(folder: Path) -> None:
    shown = confrag("show", "conf=map", "llm=extractive").stdout
    assert "store_conf:\n  type: map\n" in shown
    assert "query" not in shown
    assert json.loads(confrag("show", "conf=map", "output=json").stdout)["store_conf"] == {"type": "map"}
    lines = confrag("show", "conf=map", "retrievers.chunk.topk=2", "where=true").stdout.splitlines()
    assert [line.split() for line in lines if "store_conf" in line] == [
        ["store_conf.type:", "map", "#", "conf/store_conf/map.yaml"]
    ]
    assert [line.split() for line in lines if ".topk" in line] == [
        ["retrievers.chunk.topk:", "2", "#", "command", "line"]
    ]
    assert list(folder.iterdir()) == [folder / "harbour"]


def test_graph(folder: Path) -> None:
    assert "├─ routes: parallel, merged by concat" in confrag("graph", "conf=multi_route").stdout
    assert confrag("graph", "conf=multi_route", "format=mermaid").stdout.startswith("flowchart TD\n")
    assert json.loads(confrag("graph", "conf=multi_route", "format=json").stdout)["name"] == "multi_route"


def test_hydras_views(folder: Path) -> None:
    assert "type: map" in confrag("run", "conf=map", "--cfg", "job").stdout
    assert "Config search path" in confrag("run", "conf=map", "--info").stdout
    assert "\nuser" not in confrag("show", "--cfg", "job", "--package", "corpus").stdout
    assert list(folder.iterdir()) == [folder / "harbour"]


def test_listings(folder: Path) -> None:
    presets, _, groups = confrag("ls").stdout.partition("\n\n")
    assert presets.startswith("presets (conf=NAME)\n")
    assert "store_conf=OPTION\n" in groups
    assert json.loads(confrag("ls", "store_conf", "output=json").stdout)["store_conf"]["map"].startswith("Text and")
    catalogue = json.loads(confrag("models", "ls", "output=json").stdout)
    assert {"name", "role", "bytes", "licence", "source", "present", "files"} <= catalogue["models"][0].keys()
    assert "bge-small-en" in confrag("models", "ls").stdout


def test_doctor(folder: Path) -> None:
    report = confrag("doctor", "conf=map", "llm=extractive").stdout
    assert "ok           conf=map" in report
    found = json.loads(confrag("doctor", "output=json").stdout)
    assert {"python", "lazyllm", "working folder", "model bge-small-en"} <= {finding["what"] for finding in found}
    broken = confrag("doctor", "conf=map", "corpus.path=nowhere", code=2).stdout
    assert "corpus.path = 'nowhere': there is no such file or folder" in broken


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_doctor_of_a_server_that_is_not_there(folder: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    report = confrag("doctor", "conf=openai_compatible", f"models.llm.base_url={url}", code=4).stdout
    assert "unreachable  models.llm" in report
    assert f"the chat server at {url} does not answer" in report


def test_a_reader_that_goes_away(folder: Path) -> None:
    for arguments in (["ls"], ["run", "--info", "conf=map"]):
        process = subprocess.Popen([*CONFRAG, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_the_embedding_cache(folder: Path) -> None:
    import numpy as np

    from confrag.runtime.embedding_cache import EmbeddingCache, cache_file, text_key

    empty = confrag("cache", "stats")
    assert empty.stdout.splitlines()[0].startswith("answers: none, ")
    assert empty.stdout.splitlines()[1].startswith("embedding cache: empty (")
    assert not (folder / ".confrag").exists()
    cache = EmbeddingCache(cache_file(".confrag"), 2**20)
    cache.put("model", {text_key(str(n)): np.ones(4, np.float32) for n in range(3)})
    cache.close()
    assert "\nembedding cache: 3 vectors, 0." in confrag("cache", "stats").stdout
    stats = json.loads(confrag("cache", "stats", "output=json").stdout)["embedding_cache"]
    assert stats["models"] == {"model": 3}
    assert "\nembedding cache: 3 vectors removed from " in confrag("cache", "clear").stdout
    assert json.loads(confrag("cache", "stats", "output=json").stdout)["embedding_cache"]["models"] == {}
    wrong = confrag("cache", "empty", code=2)
    assert wrong.stderr.startswith("confrag: 'cache empty' is not understood\nusage: confrag cache stats")


# With an engine.


@models
def test_one_json_document(folder: Path) -> None:
    done = confrag("run", "conf=map", *EXTRACTIVE, "output=json", f"query={QUESTION}", "query=a, [b] 'c'")
    document = json.loads(done.stdout)
    assert list(document) == ["conf", "collection", "corpus", "timings_s", "answers"]
    assert list(document["corpus"]) == [*CORPUS_KEYS, "embedding_cache_hits"]
    assert document["conf"] == "map"
    assert (document["corpus"]["files"], document["corpus"]["added"], document["corpus"]["failed"]) == (2, 2, [])
    assert document["corpus"]["nodes"] == {"MediumChunk": 2}
    assert [answer["query"] for answer in document["answers"]] == [QUESTION, "a, [b] 'c'"]
    answer = document["answers"][0]
    assert list(answer) == ANSWER_KEYS
    assert list(answer["sources"][0]) == SOURCE_KEYS
    assert list(answer["timings_ms"]) == ["rewrite", "retrieve", "rerank", "generate", "total"]
    assert answer["sources"][0]["file"] == "office.txt"
    assert "nine o'clock" in answer["answer"]
    told, done_line = done.stderr.splitlines()
    assert told == "map: nothing is stored yet; files: 2 added"
    assert done_line.startswith("map: 2 files, 2 MediumChunk; 2 texts embedded, 0 from the cache, in ")
    (run,) = (folder / ".confrag" / "runs").glob("*/*")
    kept = json.loads((run / "run.json").read_text("utf-8"))
    assert {key: kept[key] for key in document} == document
    assert kept["overrides"] == ["conf=map", "llm=extractive", "corpus.path=harbour"]
    assert (kept["exit_code"], kept["error"]) == (0, None)
    assert kept["provenance"]["confrag"]
    assert "type: map" in (run / "config.yaml").read_text("utf-8")
    assert QUESTION in (run / "confrag.log").read_text("utf-8")


@models
def test_text_from_a_file_of_questions(folder: Path) -> None:
    (folder / "questions.jsonl").write_text('{"query": "When does it open?"}\n{"query": "起重机？"}\n', "utf-8")
    (folder / "harbour" / "broken.pdf").write_bytes(b"no pdf")
    done = confrag("run", "conf=map", *EXTRACTIVE, "queries_file=questions.jsonl", "progress=true")
    assert done.stdout.count("\nSources\n") == 2
    assert done.stdout.startswith("Q: When does it open?\nNo model was asked.")
    assert "Q: 起重机？\n" in done.stdout
    assert "  [1] office.txt  (chunk 0." in done.stdout
    assert "  not read: broken.pdf: " in done.stderr
    assert "read: 3/3" in done.stderr


@models
def test_without_a_question_only_the_ingest_happens(folder: Path) -> None:
    done = confrag("run", "conf=milvus_flat", *EXTRACTIVE)
    assert done.stdout == ""
    assert "milvus_flat: 2 files, 2 MediumChunk; 2 texts embedded" in done.stderr
    again = confrag("run", "conf=milvus_flat", *EXTRACTIVE)
    assert again.stderr.startswith("milvus_flat: 2 files, 2 MediumChunk; up to date, in ")
    assert len(again.stderr.splitlines()) == 1


@models
def test_a_sweep_ends_with_one_table(folder: Path) -> None:
    done = confrag("run", "-m", "conf=map,chroma", *EXTRACTIVE, f"query={QUESTION}, please")
    lines = done.stdout.splitlines()
    (title,) = [number for number, line in enumerate(lines) if line.strip() == "2 jobs"]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines[title:] if line.startswith("│ ")]
    rows = [row for row in rows if row[0]]  # a long cell goes on in the line below
    assert [row[0] for row in rows] == ["0", "1"]
    assert [row[1].split(",")[0] for row in rows] == ["conf=map", "conf=chroma"]
    assert {row[7] for row in rows} == {"office.txt"}
    assert lines[-1].startswith("└")


@models
def test_a_sweep_with_a_job_that_fails(folder: Path) -> None:
    done = confrag(
        "run", "-m", "conf=map", "retrievers.chunk.topk=1,0,2", *EXTRACTIVE, "query=x", "output=json", code=2
    )
    jobs: list[dict[str, Any]] = json.loads(done.stdout)["jobs"]
    assert [job["exit_code"] for job in jobs] == [0, 2, 0]
    assert [job["overrides"][1] for job in jobs] == [f"retrievers.chunk.topk={topk}" for topk in (1, 0, 2)]
    assert "retrievers.chunk.topk = 0: must be greater than or equal to 1" in jobs[1]["error"]
    assert jobs[1]["result"] is None
    assert [len(jobs[number]["result"]["answers"][0]["sources"]) for number in (0, 2)] == [1, 2]
    assert "confrag: job 1 (conf=map, retrievers.chunk.topk=0, " in done.stderr


@models
def test_a_server_that_does_not_answer(folder: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    done = confrag(
        "run", "conf=openai_compatible", f"models.llm.base_url={url}", "corpus.path=harbour", "query=x", code=4
    )
    assert done.stdout == ""
    assert done.stderr.startswith(f"confrag: the chat server at {url} does not answer")
    assert len(done.stderr.splitlines()) == 1


@models
def test_an_unreadable_file_can_be_a_mistake(folder: Path) -> None:
    (folder / "harbour" / "broken.pdf").write_bytes(b"no pdf")
    done = confrag("run", "conf=map", *EXTRACTIVE, "corpus.on_error=fail", code=2)
    assert "\nconfrag: broken.pdf: " in done.stderr
    assert done.stderr.endswith("(corpus.on_error=fail)\n")


@models
def test_a_reader_of_answers_that_goes_away(folder: Path) -> None:
    process = subprocess.Popen(
        [*CONFRAG, "run", "conf=map", *EXTRACTIVE, "query=a", "query=b"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read().decode()
    assert process.wait(60) == 0
    assert len(error.splitlines()) == 2
    assert "\nmap: 2 files, 2 MediumChunk; " in error


@models
def test_an_interrupt_leaves_a_store_that_can_be_used(folder: Path) -> None:
    for number in range(300):
        text = " ".join(f"The ship {number}-{word} left the harbour at dawn." for word in range(120))
        (folder / "harbour" / f"log{number}.txt").write_text(text)
    command = [*CONFRAG, "run", "conf=milvus_hnsw", *EXTRACTIVE, "progress=true"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stderr is not None
    seen = ""
    while not seen.startswith("embed: "):
        seen = process.stderr.readline()
        assert seen, "it ended before it embedded anything"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "confrag: interrupted"
    assert "Traceback" not in err
    for path in (folder / "harbour").glob("log*"):
        path.unlink()
    done = confrag("run", "conf=milvus_hnsw", *EXTRACTIVE, "output=json", f"query={QUESTION}")
    document = json.loads(done.stdout)
    assert document["corpus"]["nodes"] == {"MediumChunk": 2}
    assert document["answers"][0]["sources"][0]["file"] == "office.txt"
    assert len(document["answers"][0]["sources"]) == 2
