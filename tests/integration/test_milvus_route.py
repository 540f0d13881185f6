"""The recall step `milvus`: collections that something else has filled, in a file and on servers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient

from confrag.build.stores.milvus_server import LocalServer
from confrag.cli import main
from confrag.errors import ConfigError, ServiceError, UserError
from confrag.plan import draw
from tests.engine import Hashed, Workplace, hashed_registered
from tests.integration.conftest import Running

BOOKS = [
    {"id": 1, "text": "The whale sinks the ship.", "title": "Moby-Dick", "year": 1851, "pages": 635},
    {"id": 2, "text": "A captain hunts a white whale.", "title": "Moby-Dick", "year": 1851, "pages": 635},
    {"id": 3, "text": "A man is turned into an insect.", "title": "The Metamorphosis", "year": 1915, "pages": 70},
    {"id": 4, "text": "Big Brother watches every man.", "title": "Nineteen Eighty-Four", "year": 1949, "pages": 328},
]
MODEL = Hashed(128, "")


def fill(uri: str, name: str = "books", metric: str = "COSINE", token: str = "", dynamic: bool = False) -> None:
    """What somebody else's program does."""
    with closing(MilvusClient(uri, token=token, dedicated=True)) as client:
        if client.has_collection(name):
            client.drop_collection(name)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=dynamic)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=128)
        if not dynamic:
            schema.add_field("text", DataType.VARCHAR, max_length=1000)
            schema.add_field("title", DataType.VARCHAR, max_length=100)
            schema.add_field("year", DataType.INT64)
            schema.add_field("pages", DataType.INT64)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type=metric)
        client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
        client.insert(name, [{**book, "vector": MODEL.query(str(book["text"])).tolist()} for book in BOOKS])
        client.flush(name)


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(tmp_path)
    made.write(office="The harbour office opens at nine. A ship of the line carries forty tonnes.")
    return made


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A Milvus Lite file with the collection ``books``."""
    path = tmp_path / "library.db"
    server = LocalServer.acquire(str(path))
    try:
        fill(server.uri)
    finally:
        server.release()
    return path


def written(value: Any) -> str:
    """Plain data in Hydra's grammar."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return f"'{value}'" if isinstance(value, str) else str(value)


def with_route(**keys: Any) -> str:
    """An override: the corpus beside a route of the kind `milvus`."""
    route = {"kind": "milvus", "collection": "books", **keys}
    branches = {"chunk": {"kind": "retrieve", "retriever": "chunk"}, "library": route}
    return f"recall.steps.routes={written({'kind': 'parallel', 'merge': 'concat', 'branches': branches})}"


def from_library(app: Any, question: str, **keys: Any) -> list[Any]:
    return [hit for hit in app.retrieve(question, **keys) if "library" in hit.route]


def test_a_file(place: Workplace, library: Path) -> None:
    keys = {"file_field": "title", "output_fields": ["year", "pages"], "topk": 2}
    with place.load("quickstart", with_route(uri=str(library), **keys)) as app:
        hits = app.retrieve("Which captain hunts a white whale?")
        assert {hit.route for hit in hits} == {"chunk", "library"}
        first, second = (hit for hit in hits if hit.route == "library")
        assert (first.id, first.file, first.group) == ("books/2", "Moby-Dick", "books")
        assert first.text == "A captain hunts a white whale."
        assert first.metadata == {"year": 1851, "pages": 635}
        expected = [float(MODEL.query(hit.text) @ MODEL.query("Which captain hunts a white whale?")) for hit in hits]
        assert [hit.score for hit in hits] == pytest.approx(expected, abs=1e-4)
        assert second.id == "books/1"
        assert len(from_library(app, "whale", topk=10)) == 4
        answer = app.ask("Which captain hunts a white whale?")
        assert "A captain hunts a white whale." in answer.text
        assert {source.route for source in answer.sources} >= {"library"}
    # The file is free again, and holds what it held.
    server = LocalServer.acquire(str(library))
    try:
        with closing(MilvusClient(server.uri, dedicated=True)) as client:
            assert client.list_collections() == ["books"]
    finally:
        server.release()


def test_milvus_own_condition(place: Workplace, library: Path) -> None:
    with place.load("quickstart", with_route(uri=str(library), filter='year > 1900 and title like "The%"')) as app:
        assert [hit.id for hit in from_library(app, "A captain hunts a white whale.")] == ["books/3"]


def test_a_metric_of_distances(place: Workplace, library: Path) -> None:
    server = LocalServer.acquire(str(library))
    try:
        fill(server.uri, "far", metric="L2")
        with place.load("quickstart", with_route(uri=str(library), collection="far")) as app:
            hits = from_library(app, "A captain hunts a white whale.")
    finally:
        server.release()
    assert [hit.id for hit in hits][:2] == ["far/2", "far/1"]
    assert hits[0].score == pytest.approx(1.0, abs=1e-4)
    assert all(0 < hit.score < 1 for hit in hits[1:])


def test_fields_outside_the_schema(place: Workplace, library: Path) -> None:
    server = LocalServer.acquire(str(library))
    try:
        fill(server.uri, "loose", dynamic=True)
    finally:
        server.release()
    keys = {"collection": "loose", "output_fields": ["year", "missing"], "file_field": "title"}
    with place.load("quickstart", with_route(uri=str(library), **keys)) as app:
        hit = from_library(app, "a captain, a white whale")[0]
    assert (hit.text, hit.file) == ("A captain hunts a white whale.", "Moby-Dick")
    assert hit.metadata == {"year": 1851, "missing": None}


def test_its_nodes_go_through_later_steps(place: Workplace, library: Path) -> None:
    steps = {
        "routes": {
            "kind": "parallel",
            "merge": "rrf",
            "branches": {
                "chunk": {"kind": "retrieve", "retriever": "chunk"},
                "library": {"kind": "milvus", "uri": str(library), "collection": "books"},
            },
        },
        "few": {"kind": "keyword", "required": ["whale"]},
    }
    with place.load("quickstart", f"recall.steps={written(steps)}") as app:
        assert {hit.id for hit in app.retrieve("white whale")} == {"books/1", "books/2"}


def test_questions_with_filters_are_refused(place: Workplace, library: Path) -> None:
    with place.load("quickstart", with_route(uri=str(library))) as app:
        with pytest.raises(UserError) as caught:
            app.retrieve("whale", filters={"file": "office.txt"})
        assert str(caught.value) == (
            "filters hold for the documents of the corpus, and recall.steps.routes.branches.library searches a "
            "collection of its own; ask without filters, or declare a `filter` of this step"
        )
        assert from_library(app, "whale")


def test_the_collection_of_the_corpus_stays_the_same(place: Workplace, library: Path) -> None:
    more = "+models.other={role: embed, kind: hashed, dim: 64, salt: other}"
    keys = ("retrievers.chunk.embed_keys=[embed]", more)
    plain = place.load("quickstart", *keys).compiled
    routed = place.load("quickstart", *keys, with_route(uri=str(library), model="other")).compiled
    assert routed.collection == plain.collection
    assert {model.name for model in routed.models} == {"embed", "other", "llm"}


HERE = "recall.steps.routes.branches.library"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"collection": "boks"},
            f"{HERE}.collection = 'boks': there is no collection of this name at Milvus store 'FILE'; known: books. "
            "Did you mean 'books'?",
        ),
        (
            {"text_field": "txt"},
            f"{HERE}.text_field = 'txt': there is no field of collection 'books' of this name at Milvus store 'FILE'; "
            "known: id, pages, text, title, vector, year. Did you mean 'text'?",
        ),
        (
            {"output_fields": ["yeer"]},
            f"{HERE}.output_fields = 'yeer': there is no field of collection 'books' of this name at Milvus store "
            "'FILE'; known: id, pages, text, title, vector, year. Did you mean 'year'?",
        ),
        (
            {"anns_field": "title"},
            f"{HERE}.anns_field = 'title': there is no field of dense or sparse vectors in collection 'books' of this "
            "name at Milvus store 'FILE'; known: vector",
        ),
        (
            {"metric_type": "L2"},
            f"{HERE}.metric_type = 'L2': the index of field 'vector' of collection 'books' compares by COSINE",
        ),
        (
            {"model": "other"},
            f"{HERE}.model: its vectors are not those of field 'vector' of collection 'books' (64 dimensions here, "
            "128 dimensions there); name the embedding model that the collection was filled with",
        ),
    ],
)
def test_what_is_not_there(place: Workplace, library: Path, keys: dict[str, Any], message: str) -> None:
    other = "+models.other={role: embed, kind: hashed, dim: 64, salt: other}"
    engine = place.load(
        "quickstart", "retrievers.chunk.embed_keys=[embed]", other, with_route(**{"uri": str(library), **keys})
    )
    with pytest.raises(UserError) as caught:
        engine.start()
    assert str(caught.value) == message.replace("FILE", str(library))
    # Nothing stays open after a start that failed.
    LocalServer.acquire(str(library)).release()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("milvus-lite")]


def test_it_is_drawn(place: Workplace) -> None:
    plan = place.load("quickstart", with_route(uri="library.db", filter="year > 1900")).compiled
    assert (
        "library: milvus(uri='library.db', timeout_s=10.0, collection='books', model='embed', search_params={}, "
        "text_field='text', filter='year > 1900', topk=6)"
    ) in draw(plan, "text")
    assert place.load("quickstart", with_route(uri="library.db", filter="year > 1900")).compiled == plan


def test_there_is_no_such_file(place: Workplace, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        place.load("quickstart", with_route(uri=str(tmp_path / "none.db"))).start()
    assert str(caught.value) == (
        f"{HERE}.uri = '{tmp_path}/none.db': there is no such file; a server is named http://HOST:PORT"
    )
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"model": "embd"},
            f"{HERE}.model = 'embd': there is no model with the role 'embed' of this name; known: embed",
        ),
        (
            {"token_env": "NO_SUCH_VARIABLE"},
            f"{HERE}.token_env = 'NO_SUCH_VARIABLE': only a server asks for this; name ",
        ),
        (
            {"uri": "http://host:1", "token_env": "NO_SUCH_VARIABLE"},
            f"{HERE}.token_env = 'NO_SUCH_VARIABLE': the environment variable NO_SUCH_VARIABLE is not set",
        ),
        ({"uri": "tcp://host:1"}, f"{HERE}.uri = 'tcp://host:1': a server is named http://HOST:PORT or https://"),
        ({"output_fields": ["a", "a"]}, f"{HERE}: output_fields names a more than once"),
        ({"metric_type": "HAMMING"}, f"{HERE}.metric_type = 'HAMMING': "),
    ],
)
def test_mistakes_that_are_seen_before_anything_is_opened(place: Workplace, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load("quickstart", with_route(**{"uri": "library.db", **keys}))
    assert [str(problem)[: len(message)] for problem in caught.value.problems] == [message]


@pytest.mark.parametrize("fixture", ["milvus_lite_server", "milvus_server"])
def test_a_server(place: Workplace, fixture: str, request: pytest.FixtureRequest) -> None:
    running: Running = request.getfixturevalue(fixture)
    variable = running.arguments.get("token_env")
    fill(running.uri, token=os.environ[variable] if variable else "")
    keys = {"uri": running.uri, "file_field": "title", "output_fields": ["year"], "topk": 2, **running.arguments}
    with place.load("quickstart", with_route(**keys)) as app:
        hits = from_library(app, "Which captain hunts a white whale?")
        assert [(hit.id, hit.file, hit.metadata) for hit in hits] == [
            ("books/2", "Moby-Dick", {"year": 1851}),
            ("books/1", "Moby-Dick", {"year": 1851}),
        ]
    if variable:
        with pytest.raises(UserError, match="refuses access"):
            place.load("quickstart", with_route(uri=running.uri)).start()


def test_a_server_that_does_not_answer(place: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    route = with_route(uri="http://127.0.0.1:9", timeout_s=0.5)
    with pytest.raises(ServiceError) as caught:
        place.load("quickstart", route).start()
    assert str(caught.value).endswith(f"or name another one with `uri` in {HERE}")
    own = f"--config-dir={place.config_dir}"
    assert main(["run", own, *place.overrides("conf=quickstart", route), "query=whale"]) == 4
    assert "the Milvus server at http://127.0.0.1:9 does not answer" in capsys.readouterr().err


def test_a_server_that_comes_back(place: Workplace, request: pytest.FixtureRequest) -> None:
    running: Running = request.getfixturevalue("milvus_lite_server")
    fill(running.uri)
    with place.load("quickstart", with_route(uri=running.uri, timeout_s=2.0)) as app:
        before = [hit.id for hit in from_library(app, "white whale")]
        running.server.stop()
        try:
            with pytest.raises(ServiceError, match="does not answer"):
                app.retrieve("white whale")
        finally:
            running.server.start()
        assert [hit.id for hit in from_library(app, "white whale")] == before
