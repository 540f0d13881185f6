"""Node groups that a chat model writes: what is asked, kept, counted and read; by a real server with real faults."""

from __future__ import annotations

import json
import logging
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import confrag
from confrag.cli import main
from confrag.cli.text import show_outlook
from tests.chat import ChatServer, Fault, chat_server
from tests.engine import STORES, Workplace, hashed_registered

NODES = """\
# @package node_groups
# Questions and answers about each paragraph, and a summary of it.
Paragraph:
  transform: {kind: split, separator: "\\n\\n"}
QA:
  parent: Paragraph
  transform: {kind: llm_qa, retries: 2}
Summary:
  parent: Paragraph
  transform: {kind: llm_summary}
"""
RECALL = """\
# @package _global_
# Questions by their words and vectors.
retrievers:
  qa: {group: QA, similarity: cosine, topk: 3}
recall: {kind: retrieve, retriever: qa}
"""
LEXICAL = ("retrievers.qa.similarity=bm25",)
PARAGRAPHS = {
    "bees": "The queen bee of Harlow lays two thousand eggs a day.\n\nWorker bees live for six weeks.",
    "canal": "The lock at Marsden lifts boats by nine metres.",
}


def asked_about(message: str) -> str:
    """The passage in a message."""
    return re.split(r"(?:Passage|段落)[:：]\n", message)[-1]


def write_pairs(message: str) -> str:
    """What a good model would do: a question that holds the passage's words, and an answer that does not."""
    if "Summarise" in message or "摘要" in message:
        return f"In short: {asked_about(message).split('.')[0]}."
    passage = asked_about(message).rstrip(".")
    return f"Q: Is it true that {passage}?\nA: Yes, so says number {len(passage)}."


@pytest.fixture(scope="module", autouse=True)
def _hashed() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("confrag.runtime.asking._FIRST_PAUSE_S", 0.01)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(write_pairs) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: ChatServer) -> Workplace:
    return workplace(tmp_path, server.url)


def workplace(root: Path, url: str) -> Workplace:
    made = Workplace(root, settings(url))
    for group, text in (("node_groups", NODES), ("recall", RECALL)):
        option = made.config_dir / group / "written.yaml"
        option.parent.mkdir(parents=True, exist_ok=True)
        option.write_text(text)
    made.write(**PARAGRAPHS)
    return made


def settings(url: str) -> tuple[str, ...]:
    chat = ("llm=openai_compatible", f"models.llm.base_url={url}", "models.llm.model=test")
    return ("node_groups=written", "recall=written", *chat)


def passages(server: ChatServer) -> list[str]:
    return sorted(asked_about(message) for message in server.asked)


@pytest.mark.parametrize("store", STORES)
def test_the_answer_travels_with_the_question_and_survives_a_restart(
    store: str, place: Workplace, server: ChatServer
) -> None:
    for start in range(2):
        with place.load(store) as app:
            assert app.corpus.nodes == {"Paragraph": 3, "QA": 3}
            assert app.corpus.asked == (0 if start else 3)
            hit = app.retrieve("by how many metres are boats lifted at Marsden", topk=1)[0]
            assert (hit.file, hit.group) == ("canal.txt", "QA")
            question = "Is it true that The lock at Marsden lifts boats by nine metres?"
            assert hit.text == f"{question}\nYes, so says number 46."
            assert hit.metadata["question"] == question
            assert hit.metadata["answer"] == "Yes, so says number 46."
            app.ask("How far does the lock at Marsden lift boats?")
            assert f"[1] {question}\nYes, so says number 46." in server.asked[-1]
    assert len(server.asked) == 5


def test_questions_are_searched_by_their_words(place: Workplace) -> None:
    with place.load("map", *LEXICAL) as app:
        hit = app.retrieve("marsden", topk=1)[0]
        assert hit.metadata["answer"] == "Yes, so says number 46."
        assert app.retrieve("says number") == []


def test_the_parent_of_a_question_may_be_asked_for(place: Workplace) -> None:
    with place.load("map", "retrievers.qa.target=Paragraph") as app:
        assert app.retrieve("Marsden", topk=1)[0].text == PARAGRAPHS["canal"]
        assert "answer" not in app.retrieve("Marsden", topk=1)[0].metadata


def test_a_changed_file_asks_for_its_changed_parents(place: Workplace, server: ChatServer) -> None:
    place.load("map").ingest()
    place.write(bees=PARAGRAPHS["bees"].replace("six weeks", "five weeks"))
    server.asked.clear()
    report = place.load("map").ingest()
    assert passages(server) == ["Worker bees live for five weeks."]
    assert (report.asked, report.reply_cache_hits, report.nodes["QA"]) == (1, 1, 3)


def test_collections_and_groups_share_what_was_written(place: Workplace, server: ChatServer) -> None:
    place.load("map").ingest()
    two = (
        "+node_groups.Again={parent: Paragraph, transform: {kind: llm_qa, concurrency: 1}}",
        "retrievers.qa.group=Again",
    )
    report = place.load("chroma", *two).ingest()
    assert (report.asked, report.reply_cache_hits, report.nodes) == (0, 3, {"Paragraph": 3, "Again": 3})
    assert len(server.asked) == 3


def test_what_only_says_how_to_ask_changes_no_row(place: Workplace, server: ChatServer) -> None:
    place.load("map").ingest()
    transform = "node_groups.QA.transform"
    app = place.load("map", f"{transform}.concurrency=1", f"{transform}.retries=0", f"+{transform}.max_calls=0")
    assert app.plan().up_to_date


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("+node_groups.QA.transform.max_tokens=99", "node_groups.QA.transform.max_tokens changed"),
        ("+node_groups.QA.transform.prompt='Fragen zu {text}'", "node_groups.QA.transform.prompt changed"),
        ("models.llm.model=other", "models.llm.model changed"),
    ],
)
def test_what_determines_the_rows_is_asked_again(
    override: str, reason: str, place: Workplace, server: ChatServer
) -> None:
    place.load("map").ingest()
    outlook = place.load("map", override).plan()
    group = next(group for group in outlook.groups if group.group == "QA")
    assert group.reasons == (reason,)
    assert group.asking is not None
    assert (group.asking.calls, group.asking.cached) == (3, 0)
    assert len(server.asked) == 3


def test_plan_says_what_it_costs_and_calls_nobody(place: Workplace, server: ChatServer) -> None:
    app = place.load("map", "retrievers.qa.group=Summary")
    server.asked.clear()
    (_, group) = app.plan().groups
    assert group.asking is not None
    assert (group.nodes, group.asking.calls, group.asking.cached) == (0, 3, 0)
    assert 3 * 40 < group.asking.prompt_tokens < 3 * 120
    assert group.asking.completion_tokens == 3 * 512
    app.ingest()
    place.write(more="Beehives stand on the roof.")
    (_, group) = app.plan().groups
    assert group.asking is not None
    assert (group.asking.calls, group.asking.cached, group.asking.completion_tokens) == (1, 0, 512)
    assert len(server.asked) == 3


def test_a_summary_is_found_and_read(place: Workplace, server: ChatServer) -> None:
    with place.load("chroma", "retrievers.qa.group=Summary") as app:
        hit = app.retrieve("Marsden", topk=1)[0]
        assert (hit.group, hit.text) == ("Summary", "In short: The lock at Marsden lifts boats by nine metres.")
        assert "answer" not in hit.metadata


@pytest.mark.models
def test_a_model_of_this_process_writes(tmp_path: Path) -> None:
    place = workplace(tmp_path, "")
    place.common = ("node_groups=written", "recall=written", "llm=smollm2", "retrievers.qa.group=Summary")
    report = place.load("map", "+node_groups.Summary.transform.max_tokens=24").ingest()
    assert (report.asked, report.nodes["Summary"]) == (3, 3)
    assert all(len(reply) > 10 for _, _, reply in _kept(place))
    (place.docs / "bees.txt").unlink()
    place.write(canal="word " * 3000)
    with pytest.raises(confrag.ServiceError, match=r"takes none of the 1 texts of node group 'Summary': .*400"):
        place.load("map", "models.llm.context=256", "+node_groups.Summary.transform.max_tokens=24").ingest()


def test_plan_in_words(place: Workplace) -> None:
    place.load("map", "+node_groups.QA.transform.max_calls=2", "node_groups.QA.transform.concurrency=1").plan()
    with pytest.raises(confrag.UserError):
        place.load("map", "+node_groups.QA.transform.max_calls=2").ingest()
    out = StringIO()
    show_outlook("map", place.load("map").plan(), out)
    asking = r"model calls: 1 \(about 1\d\d prompt tokens, at most 512 completion tokens\)"
    line = rf"  `QA` \(2 nodes so far\); replies in the cache: 2, {asking}; embedding cache covers 0, 2 texts"
    assert re.search(line, out.getvalue())


def test_a_group_that_is_built_again_costs_another_one_nothing(place: Workplace, server: ChatServer) -> None:
    sentence = "+node_groups.Sentence={transform: {kind: split, separator: '.'}}"
    route = "+retrievers.sentence={group: Sentence, similarity: bm25, topk: 3}"
    steps = "{qa: {kind: retrieve, retriever: qa}, sentence: {kind: retrieve, retriever: sentence}}"
    two = (sentence, route, f"recall={{kind: parallel, merge: {{kind: rrf}}, branches: {steps}}}")
    assert place.load("map", *two).ingest().nodes == {"Paragraph": 3, "QA": 3, "Sentence": 3}
    (place.state / "replies.sqlite3").unlink()
    report = place.load("map", *two, "node_groups.Sentence.transform.separator=' '").ingest()
    assert report.nodes["QA"] == 3
    assert report.nodes["Sentence"] > 3
    assert (report.asked, len(server.asked)) == (0, 3)
    with place.load("map", *two, "node_groups.Sentence.transform.separator=' '") as app:
        assert app.corpus.asked == 0
        assert app.retrieve("Marsden", topk=9)


def test_a_group_may_be_cut_from_what_was_written(place: Workplace, server: ChatServer) -> None:
    words = "+node_groups.Word={parent: QA, transform: {kind: split, separator: ' '}}"
    below = (words, "retrievers.qa.group=Word", "retrievers.qa.target=QA", "retrievers.qa.similarity=bm25")
    assert place.load("map", *below).ingest().nodes["Word"] == 15 + 10 + 13
    report = place.load(
        "map", *below, "node_groups.Word.transform.separator='[ ?]'", "+node_groups.Word.transform.regex=true"
    ).ingest()
    assert (report.asked, report.reply_cache_hits) == (0, 3)
    with place.load("map", *below) as app:
        assert "answer" in app.retrieve("Marsden", topk=1)[0].metadata
    assert len(server.asked) == 3


def test_a_running_engine_asks_about_what_is_new(place: Workplace, server: ChatServer) -> None:
    with place.load("map") as app:
        place.write(more="Beehives stand on the roof of the opera.")
        report = app.ingest()
        assert (report.asked, report.nodes["QA"]) == (1, 4)
        assert app.retrieve("opera", topk=1)[0].file == "more.txt"
        limit = len(server.asked)
        assert app.ingest().asked == 0
        assert len(server.asked) == limit


@pytest.mark.parametrize("fault", [Fault(429), Fault(500), Fault(503, "<html>"), Fault(200, "{no json"), None])
def test_a_server_that_is_busy_is_asked_again(fault: Fault | None, place: Workplace, server: ChatServer) -> None:
    seen: set[str] = set()

    def answer(message: str) -> str | Fault | None:
        first = message not in seen
        seen.add(message)
        return fault if first else write_pairs(message)

    server.answer = answer
    report = place.load("map").ingest()
    assert report.nodes["QA"] == 3
    assert (report.asked, len(server.asked)) == (6, 6)


def test_a_server_that_stays_away_ends_the_ingest_and_costs_nothing_twice(place: Workplace, server: ChatServer) -> None:
    server.answer = lambda message: Fault(500) if "Marsden" in message else write_pairs(message)
    with pytest.raises(confrag.ServiceError, match=r"^the chat model 'test' at http://\S+ gave no answer: .*500"):
        place.load("map", "node_groups.QA.transform.concurrency=1").ingest()
    server.answer = write_pairs
    before = len(server.asked)
    report = place.load("map").ingest()
    assert passages(server)[-1] == PARAGRAPHS["bees"].split("\n\n")[1]
    assert len(server.asked) - before == report.asked == 1
    assert report.nodes["QA"] == 3


def test_a_wrong_key_is_not_tried_again(place: Workplace, server: ChatServer) -> None:
    server.answer = lambda message: Fault(401)
    with pytest.raises(confrag.ServiceError, match=r"gave no answer: .*401"):
        place.load("map", "node_groups.QA.transform.concurrency=1").ingest()
    assert len(server.asked) == 1


def test_replies_that_cannot_be_used_are_told_once_and_not_asked_for_again(
    place: Workplace, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda message: "I would rather not." if "Worker" in message else write_pairs(message)
    with caplog.at_level(logging.WARNING, "confrag"):
        report = place.load("map").ingest()
    assert report.nodes["QA"] == 2
    assert report.asked == 2 + 3
    assert [request["temperature"] for request in server.requests if "Worker" in str(request)] == [0.0, 0.5, 0.5]
    assert [record.message for record in caplog.records] == [
        "node group 'QA': of 1 texts there are no nodes, since the model's replies could not be used (no line that "
        "begins with Q: is followed by one that begins with A:). They are asked about again only with another model, "
        "prompt or max_tokens"
    ]
    assert place.load("map").ingest().asked == 0
    assert place.load("chroma").ingest().nodes["QA"] == 2
    assert len(server.asked) == 5


def test_a_text_that_the_model_does_not_take(
    place: Workplace, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda message: Fault(400) if "Worker" in message else write_pairs(message)
    with caplog.at_level(logging.WARNING, "confrag"):
        assert place.load("map").ingest().nodes["QA"] == 2
    assert "of 1 texts there are no nodes, since the model did not take them (" in caplog.text
    server.answer = lambda message: Fault(400)
    with pytest.raises(confrag.ServiceError, match=r"takes none of the 3 texts of node group 'QA': .*400"):
        place.load("map", "models.llm.model=other").ingest()


def test_a_limit_on_calls_stops_and_the_next_ingest_goes_on(place: Workplace, server: ChatServer) -> None:
    limit = "+node_groups.QA.transform.max_calls=2"
    with pytest.raises(confrag.UserError) as caught:
        place.load("map", limit).ingest()
    assert str(caught.value) == (
        "node_groups.QA.transform.max_calls = 2: the model was called 2 times, and 1 of the texts read so far are "
        "still without a reply. Those that it gave are kept: ingest again to go on, or raise or leave out max_calls"
    )
    assert len(server.asked) == 2
    (_, group) = place.load("map", limit).plan().groups
    assert group.asking is not None
    assert (group.nodes, group.asking.calls, group.asking.cached) == (2, 1, 2)
    report = place.load("map", limit).ingest()
    assert (report.asked, report.reply_cache_hits, report.nodes["QA"]) == (1, 2, 3)


def test_calls_are_made_at_once(place: Workplace, server: ChatServer) -> None:
    place.write(**{f"file{number}": f"Fact number {number}." for number in range(9)})
    together = threading.Barrier(6)

    def held(message: str) -> str:
        together.wait(30)  # breaks unless as many as are allowed meet here
        return write_pairs(message)

    server.answer = held
    place.load("map", "+node_groups.QA.transform.concurrency=6").ingest()
    assert (len(server.asked), server.most_at_once) == (12, 6)


def test_cache_counts_replies_and_leaves_them(
    place: Workplace, server: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    place.load("map").ingest()
    state = f"state_dir='{place.state}'"
    line = f"replies of chat models: 3, {place.state / 'replies.sqlite3'}\n"
    for action in ("clear", "stats"):
        assert main(["cache", action, state]) == 0
        assert capsys.readouterr().out.endswith(line)
    assert main(["cache", "stats", state, "output=json"]) == 0
    assert json.loads(capsys.readouterr().out)["replies"]["entries"] == 3


def test_progress_has_a_stage_of_its_own(place: Workplace, server: ChatServer) -> None:
    seen: list[tuple[str, int, int]] = []
    place.load("map").ingest(lambda *stage: seen.append(stage))
    assert [stage for stage in seen if stage[0].startswith("ask")] == [("ask QA", done, 3) for done in range(4)]


def test_braces_in_a_text_are_text(place: Workplace, server: ChatServer) -> None:
    place.write(code='The template {question} holds {text} and {"a": {b}}.')
    place.load("map").ingest()
    assert 'The template {question} holds {text} and {"a": {b}}.' in passages(server)


def test_the_model_is_left_alone_when_nothing_is_to_be_asked(place: Workplace, server: ChatServer) -> None:
    place.load("map").ingest()
    # A server that is away is noticed when its model is loaded.
    with pytest.raises(confrag.ServiceError, match="does not answer"):
        place.load("map", "models.llm.base_url=http://127.0.0.1:1/v1").ingest()
    listed = server.listed
    assert place.load("chroma").ingest().nodes["QA"] == 3
    own = ("+models.writer=${models.llm}", "node_groups.QA.transform.model=writer")
    assert place.load("map", *own).plan().up_to_date is False
    assert server.listed == listed


def test_a_model_that_only_writes_nodes_is_loaded_for_that_alone(place: Workplace, server: ChatServer) -> None:
    own = f"+models.writer={{role: chat, kind: openai_compatible, base_url: '{server.url}', model: test}}"
    place.common = (
        *place.common[:2],
        "llm=extractive",
        own,
        "+node_groups.QA.transform.model=writer",
        "~node_groups.Summary",
    )
    with place.load("map") as app:
        assert app.corpus.asked == 3
        assert "Yes, so says number 46." in app.ask("Marsden").text
    listed = server.listed
    assert listed == 1
    with place.load("map") as app:
        assert app.retrieve("Marsden")
    assert server.listed == listed


def test_chinese(place: Workplace, server: ChatServer) -> None:
    server.answer = lambda message: f"问：{asked_about(message).rstrip('。')}是真的吗？\n答：是的。"
    for name in PARAGRAPHS:
        (place.docs / f"{name}.txt").unlink()
    place.write(qa="西湖位于杭州。\n\n断桥残雪是西湖十景之一。")
    with place.load("map", "+node_groups.QA.transform.language=zh", "retrievers.qa.similarity=bm25_chinese") as app:
        assert "请用中文书写" in server.asked[0]
        hit = app.retrieve("断桥残雪", topk=1)[0]
        assert hit.text == "断桥残雪是西湖十景之一是真的吗？\n是的。"


def test_a_killed_ingest_pays_for_nothing_twice(place: Workplace, server: ChatServer) -> None:
    texts = {f"file{number:02}": f"Fact number {number}." for number in range(12)}
    for name in PARAGRAPHS:
        (place.docs / f"{name}.txt").unlink()
    place.write(**texts)
    gone = threading.Event()

    def held(message: str) -> str:
        if len(server.asked) > 6:
            gone.wait(60)
        return write_pairs(message)

    server.answer = held
    child = _ingest_in_a_process(place, server.url)
    # Each of its four threads waits for an answer then: nothing else is on its way to the server.
    _wait_for(lambda: len(_kept(place)) >= 5 and len(server.asked) == len(_kept(place)) + 4)
    child.kill()
    child.wait()
    gone.set()
    kept = len(_kept(place))
    assert 5 <= kept < 12
    before = len(server.asked)
    report = place.load("map").ingest()
    assert len(server.asked) - before == report.asked == 12 - kept
    assert report.reply_cache_hits == kept
    assert report.nodes["QA"] == 12


def test_an_interrupted_ingest_ends_though_the_model_is_slow(place: Workplace, server: ChatServer) -> None:
    server.delay_s = 30
    child = _ingest_in_a_process(place, server.url)
    _wait_for(lambda: bool(server.asked))
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=25) == 130  # before the answer
    assert _kept(place) == []


def _ingest_in_a_process(place: Workplace, url: str) -> subprocess.Popen[bytes]:
    """``confrag ingest`` of the same files; by words alone, since the embedding model is one of the tests'."""
    where = (f"corpus.path='{place.docs}'", f"state_dir='{place.state}'", "retrievers.qa.similarity=bm25")
    command = [sys.executable, "-m", "confrag", "ingest", "--config-dir", str(place.config_dir), "conf=map"]
    return subprocess.Popen([*command, *settings(url), *where], stderr=subprocess.DEVNULL)


def _kept(place: Workplace) -> list[Any]:
    path = place.state / "replies.sqlite3"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'replies'").fetchone():
            return []
        return database.execute("SELECT * FROM replies").fetchall()


def _wait_for(what: Any) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
