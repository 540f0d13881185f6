"""Documents that are added, described and taken out while the engine runs: the same rows as if they had been files."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import confrag
from confrag.errors import NotFoundError, ServiceError, UserError
from tests.chat import ChatServer, Fault, chat_server
from tests.engine import STORES, Workplace, hashed_registered, stored
from tests.integration.test_written_nodes import workplace, write_pairs

FIELDS = ("+doc_fields.year=int", "+doc_fields.tags=strings")


@pytest.fixture(scope="module", autouse=True)
def _hashed() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    place = Workplace(tmp_path)
    place.write(ferry="The ferry was founded in 1871 by Ada Brandt.", guides__dogs="Dogs travel free of charge.")
    return place


def text(content: str) -> io.BytesIO:
    return io.BytesIO(content.encode())


def statuses(app: confrag.App) -> dict[str, str]:
    return {document.name: document.status for document in app.documents.list()}


def id_of(app: confrag.App, name: str) -> str:
    return next(document.id for document in app.documents.list() if document.name == name)


def texts(app: confrag.App, question: str) -> str:
    return " ".join(hit.text for hit in app.retrieve(question, topk=10))


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("store", STORES)
def test_a_document_is_added_replaced_and_deleted(place: Workplace, store: str) -> None:
    with place.load(store) as app:
        own = app.documents.add(text("Bicycles cost four crowns."), "fares/bicycles.txt")
        assert app.retrieve("bicycles crowns", topk=1)[0].file == "fares/bicycles.txt"
        assert statuses(app) == dict.fromkeys(["fares/bicycles.txt", "ferry.txt", "guides/dogs.txt"], "success")
        assert app.documents.get(own).origin == "added"
        assert app.documents.add(text("Bicycles cost nine guilders."), "fares/bicycles.txt", override=True) == own
        assert "guilders" in texts(app, "bicycles")
        assert "crowns" not in texts(app, "bicycles crowns")
        assert app.documents.delete(own) == ["fares/bicycles.txt"]
        assert statuses(app) == {"ferry.txt": "success", "guides/dogs.txt": "success"}
        assert "icycles" not in texts(app, "bicycles")
    rows, _, _ = place.twin(store, questions=())
    assert not stored(place.state / "collections").differences(rows)
    assert sorted(path.name for path in place.docs.rglob("*.txt")) == ["dogs.txt", "ferry.txt"]


def test_a_document_of_the_corpus_is_taken_out_and_its_file_stays(place: Workplace) -> None:
    with place.load("map") as app:
        own = id_of(app, "ferry.txt")
        app.documents.delete([own])
        assert statuses(app) == {"guides/dogs.txt": "success"}
        assert app.documents.hidden() == [(own, "ferry.txt")]
        assert "1871" not in texts(app, "ferry founded")
    assert (place.docs / "ferry.txt").exists()
    with place.load("chroma") as app:  # whatever the store: it is the same corpus
        assert statuses(app) == {"guides/dogs.txt": "success"}
        assert app.documents.restore(own) == ["ferry.txt"]
        assert "1871" in texts(app, "ferry founded")
        with pytest.raises(NotFoundError, match=f"no document with the id '{own}' was taken out of the corpus"):
            app.documents.restore(own)


def test_an_added_document_goes_before_one_of_the_corpus_and_takes_it_along(place: Workplace) -> None:
    with place.load("map") as app:
        app.documents.add(text("The ferry was founded in 1999."), "ferry.txt", override=True)
        assert "1871" not in texts(app, "ferry founded")
        assert "1999" in texts(app, "ferry founded")
        app.documents.delete(id_of(app, "ferry.txt"))
        assert statuses(app) == {"guides/dogs.txt": "success"}
        app.documents.delete(id_of(app, "guides/dogs.txt"))
        assert app.retrieve("ferry") == []
        assert app.documents.list() == []
        app.documents.add(text("Cats travel, too."), "cats.txt")
        assert "Cats" in texts(app, "cats")


def test_without_override_a_document_gets_a_name_of_its_own(place: Workplace) -> None:
    with place.load("map") as app:
        for content in ("First.", "Second.", "Third."):
            app.documents.add(text(content), "ferry.txt", wait=False)
        assert {*statuses(app)} == {"ferry.txt", "ferry-1.txt", "ferry-2.txt", "ferry-3.txt", "guides/dogs.txt"}


def test_what_was_changed_outlasts_the_process_and_needs_no_start(place: Workplace) -> None:
    app = place.load("map")
    (place.root / "cats.md").write_text("Cats travel in a basket.")
    app.documents.add(place.root / "cats.md")
    assert statuses(app) == {"cats.md": "waiting", "ferry.txt": "waiting", "guides/dogs.txt": "waiting"}
    assert place.load("map").plan().added == ("cats.md", "ferry.txt", "guides/dogs.txt")
    with place.load("map") as other:
        assert "basket" in texts(other, "cats")
    assert statuses(app)["cats.md"] == "success"
    with pytest.raises(UserError, match="the engine is not started"):
        app.documents.passages(id_of(app, "cats.md"))


def test_an_engine_may_start_without_documents(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    for store in STORES:
        app = place.load(store)
        with pytest.raises(UserError, match="nothing to read"):
            app.start()
        app = confrag.App(app.compiled, may_be_empty=True)
        with app:
            assert app.retrieve("cats") == []
            assert app.ask("cats?").sources == ()
            own = app.documents.add(text("Cats travel in a basket."), "cats.txt")
            assert "basket" in texts(app, "cats")
            app.documents.delete(own)
            assert app.retrieve("cats") == []


def test_metadata_are_edited_filtered_by_and_put_back(place: Workplace) -> None:
    (place.docs / "ferry.txt.meta.yaml").write_text("year: 1871\nauthor: Ada\n")
    with place.load("map", *FIELDS) as app:
        documents, own = app.documents, id_of(app, "ferry.txt")
        assert documents.metadata(own) == {"year": 1871, "author": "Ada"}
        documents.set_metadata(own, {"year": 1999, "tags": ["old"]})
        assert [hit.file for hit in app.retrieve("ferry", filters={"year": 1999})] == ["ferry.txt"]
        assert app.retrieve("ferry", filters={"year": 1871}) == []
        documents.add_metadata(own, {"tags": ["slow"], "author": "Berta"})
        assert documents.metadata(own) == {"year": 1999, "author": ["Ada", "Berta"], "tags": ["old", "slow"]}
        assert documents.get(own).metadata == documents.metadata(own)
        documents.delete_metadata(own, values={"tags": ["old"], "author": "Nobody"}, keys=["year"])
        assert documents.metadata(own) == {"author": ["Ada", "Berta"], "tags": ["slow"]}
        documents.reset_metadata(own, {"year": 1900})
        assert documents.metadata(own) == {"year": 1900}
        documents.delete_metadata(own)
        assert documents.metadata(own) == {}
        assert app.retrieve("ferry", filters={"year": [1871, 1900]}) == []
        documents.set_metadata(own, {"year": 1871, "author": "Ada"})
        before = app.corpus.version
    with place.load("map", *FIELDS) as app:
        assert app.corpus.version == before
        assert app.corpus.unchanged == 2
        assert app.corpus.version == place.twin("map", *FIELDS, questions=())[2].version


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"year": "soon"},
            "metadata 'year' = 'soon' must be a whole number of at most 63 bits; doc_fields declares it as int",
        ),
        ({"docid": "x"}, "metadata 'docid' is a reserved name; choose another"),
        ({"": 1}, "metadata '': a name has 1 to 64 printable characters"),
        ({"deep": {"a": 1}}, "metadata 'deep' = {'a': 1}: must be a text, a number, true or false, or a list of them"),
        ({"big": float("inf")}, "metadata 'big' = inf: must be a finite number"),
        ({"long": "x" * 60_000}, "metadata of a document may take 50,000 bytes; shorten them"),
    ],
)
def test_metadata_that_cannot_be_change_nothing(place: Workplace, values: dict[str, object], message: str) -> None:
    app = place.load("map", *FIELDS)
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        app.documents.add(text("Cats."), "cats.txt", metadata=values)
    ids = [document.id for document in app.documents.list()]
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        app.documents.set_metadata(ids, values)
    assert not (place.state / "documents").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "../ferry.txt",
            "'../ferry.txt' is no name of a document: a relative path, as guides/start.md",
        ),
        ("/etc/passwd.txt", "is no name of a document"),
        ("a\\b.txt", "is no name of a document"),
        ("a//b.txt", "is no name of a document"),
        ("a\0.txt", "'a\\x00.txt' is no name of a document: it has control characters"),
        ("a\u202etxt.md", "it has control characters"),
        (".hidden.md", "'.hidden.md': names that begin with a dot or '~$' are passed over; rename it"),
        ("~$a.docx", "names that begin with a dot or '~$' are passed over; rename it"),
        ("x" * 300 + ".md", "is too long: at most 16 parts of 200 bytes"),
        ("a.md.meta.yaml", "'a.md.meta.yaml' would describe another file; give metadata with the document itself"),
        ("a.exe", "'a.exe': no reader for this kind of file; known: csv, docx, epub, htm, html, json, jsonl, log, mar"),
        ("", "'' is no name of a document"),
    ],
)
def test_names_that_cannot_be(place: Workplace, name: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        place.load("map").documents.add(text("x"), name)
    assert not (place.state / "documents").exists()


def test_names_of_any_language_can_be() -> None:
    from confrag.runtime.overlay import check_name

    for name in ("渡轮/时刻表.md", "می‌روم.txt", "a b (1).txt", "👩‍🔧.md"):
        check_name(name, {"md", "txt"})


def test_a_file_that_cannot_be_opened_is_no_document(place: Workplace) -> None:
    documents = place.load("map").documents
    with pytest.raises(UserError, match=r"missing\.md: No such file or directory"):
        documents.add(place.root / "missing.md")
    (place.root / "folder.md").mkdir()
    with pytest.raises(UserError, match=r"folder\.md is a folder; add its files, or name it in corpus\.path"):
        documents.add(place.root / "folder.md")
    for call in (documents.get, documents.delete, documents.reparse, documents.metadata):
        with pytest.raises(NotFoundError, match="there is no document with the id 'nobody'"):
            call("nobody")


def test_a_document_that_cannot_be_read_says_why_and_the_others_can(place: Workplace) -> None:
    with place.load("map") as app:
        own = app.documents.add(text("no pdf"), "broken.pdf")
        assert app.documents.get(own).status == "failed"
        reason = app.documents.get(own).reason
        assert reason
        assert statuses(app)["ferry.txt"] == "success"
        refused = (
            f"broken.pdf: cannot be read ({reason}), so that the metadata of its own are not known and cannot be "
            "edited; mend or replace it first"
        )
        ids = [id_of(app, "ferry.txt"), own]
        for edit in (app.documents.set_metadata, app.documents.add_metadata, app.documents.reset_metadata):
            with pytest.raises(UserError, match=re.escape(refused)):
                edit(ids, {"author": "Ada"})
        with pytest.raises(UserError, match=re.escape(refused)):
            app.documents.delete_metadata(ids)
        assert [app.documents.metadata(one) for one in ids] == [{}, {}]
        app.documents.delete(own)
        assert "broken.pdf" not in statuses(app)


def test_what_no_reader_takes_is_listed_and_taken_out(place: Workplace) -> None:
    (place.docs / "notes.xyz").write_text("Seals.")
    documents = place.load("map", "corpus.include=['*']").documents
    own = next(document for document in documents.list() if document.name == "notes.xyz")
    assert (own.status, own.reason) == ("failed", "no reader for the extension 'xyz'")
    assert documents.metadata(own.id) == {}
    with pytest.raises(UserError, match=r"notes\.xyz: cannot be read \(no reader for the extension 'xyz'\)"):
        documents.set_metadata(own.id, {"author": "Ada"})
    documents.delete(own.id)
    assert documents.hidden() == [(own.id, "notes.xyz")]
    assert "notes.xyz" not in [document.name for document in documents.list()]
    documents.restore(own.id)
    assert documents.get(own.id) == own


def test_passages_come_in_the_order_of_the_text(place: Workplace) -> None:
    body = " ".join(f"Sentence number {number} tells of harbour {number}." for number in range(60))
    with place.load("map", "node_groups.MediumChunk.transform.chunk_size=32") as app:
        own = app.documents.add(text(body), "long.txt")
        group, total, whole = app.documents.passages(own)
        assert group == "MediumChunk"
        assert total == len(whole) > 5
        assert [passage.number for passage in whole] == list(range(1, total + 1))
        assert app.documents.passages(own, "MediumChunk", 2, 2)[2] == whole[2:4]
        assert app.documents.passages(own, offset=total)[2] == []
        hit = app.retrieve("harbour 42", topk=1)[0]
        assert next(passage.text for passage in whole if passage.id == hit.id) == hit.text
        with pytest.raises(NotFoundError, match="there is no node group 'Nothing'; known: MediumChunk"):
            app.documents.passages(own, "Nothing")


def test_a_document_is_read_anew_on_demand(place: Workplace) -> None:
    with place.load("map") as app:
        before = app.corpus
        app.documents.reparse(id_of(app, "ferry.txt"))
        assert app.corpus.changed == 1
        assert app.corpus.version == before.version


class Slow:
    """Holds an embedder up until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from tests.engine import Hashed

        self.reached, self.go = threading.Event(), threading.Event()
        embed = Hashed.passages

        def passages(model: Hashed, texts: list[str], *args: object) -> object:
            self.reached.set()
            assert self.go.wait(30)
            return embed(model, texts, *args)

        monkeypatch.setattr(Hashed, "passages", passages)


def test_answers_come_from_the_old_state_until_the_new_one_is_there(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.load("map", "cache=exact") as app:
        slow = Slow(monkeypatch)
        assert "1871" in app.ask("When was the ferry founded?").text
        app.documents.add(text("The ferry was founded in 1999."), "ferry.txt", override=True, wait=False)
        assert slow.reached.wait(30)
        assert statuses(app)["ferry.txt"] == "working"
        assert app.documents.doing.state == "working"
        answer = app.ask("When was the ferry founded?")
        assert "1871" in answer.text
        assert answer.cached
        slow.go.set()
        until(lambda: statuses(app)["ferry.txt"] == "success")
        until(lambda: app.documents.doing.state == "idle")
        answer = app.ask("When was the ferry founded?")
        assert "1999" in answer.text
        assert "1871" not in answer.text
        assert not answer.cached


def test_closing_leaves_an_ingest_where_it_is(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    with place.load("map") as app:
        slow = Slow(monkeypatch)
        app.documents.add(text("Cats travel in a basket."), "cats.txt", wait=False)
        assert slow.reached.wait(30)
        threading.Timer(0.1, slow.go.set).start()
    assert not [thread for thread in threading.enumerate() if thread.name == "confrag-ingest"]
    with place.load("map") as app:
        assert "basket" in texts(app, "cats")


def test_questions_during_many_changes_see_each_document_once(place: Workplace) -> None:
    """Each content of a document names its number twice, in two nodes: an answer never mixes two of them."""
    split = "node_groups.MediumChunk.transform={kind: split, separator: '|'}"
    with place.load("map", split) as app:
        app.documents.add(text("tide alpha 0|tide omega 0"), "tide.txt")
        stop, seen, wrong = threading.Event(), 0, []

        def ask() -> None:
            nonlocal seen
            while not stop.is_set():
                hits = [hit.text for hit in app.retrieve("tide alpha omega", topk=10) if hit.file == "tide.txt"]
                if sorted(hit[:10] for hit in hits) != ["tide alpha", "tide omega"] or len({h[11:] for h in hits}) > 1:
                    wrong.append(hits)
                seen += 1

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(1, 12):
            app.documents.add(text(f"tide alpha {number}|tide omega {number}"), "tide.txt", override=True)
        stop.set()
        for thread in threads:
            thread.join()
        assert seen > 20
        assert wrong == []


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(write_pairs) as running:
        yield running


@pytest.fixture
def written(tmp_path: Path, server: ChatServer) -> Workplace:
    made = workplace(tmp_path, server.url)
    made.write(bees="The queen bee lays two thousand eggs a day.\n\nWorker bees live for six weeks.", canal="A lock.")
    return made


def test_pairs_are_put_right_and_deleted_for_good(written: Workplace, server: ChatServer) -> None:
    with written.load("map") as app:
        total, pairs = app.documents.pairs.list()
        assert total == 3
        assert [pair.file for pair in pairs] == ["bees.txt", "bees.txt", "canal.txt"]
        assert app.documents.pairs.list(offset=1, limit=1) == (3, pairs[1:2])
        asked = len(server.requests)
        app.documents.pairs.edit(pairs[0].id, "How many eggs does the queen lay?", "Two thousand.")
        right = app.documents.pairs.list(pairs[0].file_id)[1][0]
        assert (right.question, right.answer, right.edited) == (
            "How many eggs does the queen lay?",
            "Two thousand.",
            True,
        )
        app.documents.pairs.edit(right.id, "How many eggs a day?", "2,000.")
        app.documents.pairs.delete(app.documents.pairs.list(pairs[0].file_id)[1][1].id)
        hit = app.retrieve("How many eggs a day?", topk=1)[0]
        assert hit.metadata["answer"] == "2,000."
        with pytest.raises(NotFoundError, match="there is no question-answer pair with the id"):
            app.documents.pairs.delete(pairs[0].id)
        with pytest.raises(UserError, match="a question and its answer must not be empty"):
            app.documents.pairs.edit(pairs[2].id, " ", "x")
        app.documents.reparse(pairs[0].file_id)
        assert len(server.requests) == asked  # what was written before is not asked for again
    with written.load("map") as app:
        assert [pair.question for pair in app.documents.pairs.list()[1]] == [
            "How many eggs a day?",
            "Is it true that A lock?",
        ]


def test_a_service_that_is_away_is_waited_for(
    written: Workplace, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("confrag.runtime.background._FIRST_WAIT_S", 0.05)
    monkeypatch.setattr("confrag.runtime.asking._FIRST_PAUSE_S", 0.01)
    with written.load("map") as app:
        first = len(server.asked)
        server.fault = lambda path, number: Fault(status=503) if number <= first + 8 else None
        with pytest.raises(ServiceError):
            app.documents.add(text("A new canal."), "new.txt")
        until(lambda: statuses(app)["new.txt"] == "success")
        assert app.documents.doing.state == "idle"


def test_another_engine_of_the_collection_sees_the_changes(place: Workplace) -> None:
    with place.load("map") as one, place.load("map") as other:
        one.documents.add(text("Cats travel in a basket."), "cats.txt")
        assert "basket" in texts(other, "cats")
        assert (other.corpus.files, other.corpus.version) == (3, one.corpus.version)
        assert statuses(other) == statuses(one)
        other.documents.delete(id_of(other, "cats.txt"))
        assert "basket" not in texts(one, "cats")
        assert (one.corpus.files, one.corpus.nodes) == (2, {"MediumChunk": 2})
