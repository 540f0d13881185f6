"""Document management over HTTP, with the tutorial's own calls, on every embedded store."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chat import chat_server
from tests.engine import STORES, Workplace, hashed_registered
from tests.integration.test_written_nodes import workplace, write_pairs
from tests.serve.running import Served, serving


@pytest.fixture(scope="module", autouse=True)
def _hashed() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("documents"))
    place.write(ferry="The ferry was founded in 1871 by Ada Brandt.")
    return place


@pytest.fixture(scope="module")
def served(place: Workplace) -> Iterator[Served]:
    (place.root / "outside").mkdir()
    (place.root / "outside" / "cats.txt").write_text("Cats travel in a basket.")
    (place.root / "secret.txt").write_text("The password is swordfish.")
    (place.root / "outside" / "link.txt").symlink_to(place.root / "secret.txt")
    (place.root / "outside" / "up").symlink_to(place.root)
    more = {"add_from": (str(place.root / "outside"),), "max_upload_mb": 1, "max_files": 3, "max_unpacked_mb": 2}
    with serving(place.load("map", "+doc_fields.year=int"), **more) as running:
        yield running


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """A client; what a test has added is taken out, what it has taken out is back."""
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client
    documents = served.app.documents
    documents.delete([document.id for document in documents.list() if document.origin == "added"], wait=False)
    documents.restore([file_id for file_id, _ in documents.hidden()], wait=False)
    for document in documents.list():
        if document.status != "deleting":
            documents.reset_metadata(document.id, {})


def upload(http: httpx.Client, *files: tuple[str, bytes], **data: Any) -> httpx.Response:
    return http.post("/upload_files", files=[("files", (name, io.BytesIO(body))) for name, body in files], data=data)


def data(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["code"] == 200
    assert body["msg"] == "success"
    return body["data"]


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def settled(http: httpx.Client) -> bool:
    found = http.get("/api/documents").json()["documents"]
    return all(document["status"] in ("success", "failed") for document in found)


def texts(http: httpx.Client, question: str, **more: Any) -> str:
    response = http.post("/api/retrieve", json={"query": question, "topk": 10, **more})
    return " ".join(hit["text"] for hit in response.json()["hits"])


@pytest.mark.parametrize("as_query", [False, True])
@pytest.mark.parametrize("store", STORES)
def test_the_upload_script_of_the_tutorial_gives_one_then_three(tmp_path: Path, store: str, as_query: bool) -> None:
    place = Workplace(tmp_path)
    place.write(ferry="The ferry was founded in 1871 by Ada Brandt.")
    with serving(place.load(store)) as running, httpx.Client(base_url=running.url, timeout=30) as http:
        assert len(data(http.get("/list_files"))) == 1
        files = [
            ("files", ("test1.txt", io.BytesIO(b"John's house is in Beijing"), "text/plain")),
            ("files", ("test2.txt", io.BytesIO(b"John's house is in Shanghai"), "text/plain")),
        ]
        said = {"override": "true", "metadatas": json.dumps([{"version": 1}, {"version": 2}]), "user_path": "path"}
        told = {"params": said} if as_query else {"data": said}
        ids, results = data(http.post("/upload_files", files=files, **told))
        assert results == ["success", "success"]
        rows = data(http.get("/list_files"))
        assert len(rows) == 3
        assert [row[:3] for row in rows[1:]] == [
            [ids[0], "test1.txt", "path/test1.txt"],
            [ids[1], "test2.txt", "path/test2.txt"],
        ]
        assert [json.loads(row[4]) for row in rows] == [{}, {"version": 1}, {"version": 2}]
        until(lambda: settled(http))
        assert "Shanghai" in texts(http, "John's house")
        assert data(http.get("/list_files", params={"details": False, "limit": 2})) == [rows[0][0], ids[0]]
        assert data(http.post("/delete_files", json={"file_ids": ids})) == [ids, ["success", "success"]]
        assert len(data(http.get("/list_files"))) == 1
        until(lambda: settled(http))
        assert "Shanghai" not in texts(http, "John's house")


def test_override_replaces_and_without_it_names_differ(http: httpx.Client) -> None:
    first = data(upload(http, ("a.txt", b"Apples are red.")))[0]
    second = data(upload(http, ("a.txt", b"Apples are green.")))[0]
    third = data(upload(http, ("a.txt", b"Apples are blue."), override="true"))[0]
    assert first == third != second
    assert [row[2] for row in data(http.get("/list_files"))] == ["a-1.txt", "a.txt", "ferry.txt"]
    until(lambda: settled(http))
    found = texts(http, "apples")
    assert "blue" in found
    assert "green" in found
    assert "red" not in found


def test_metadata_routes(http: httpx.Client) -> None:
    (own,) = data(upload(http, ("m.txt", b"Mangos."), metadatas='[{"title": "title2", "year": 1999}]'))[0]

    def known() -> Any:
        return data(http.post("/query_metadata", json={"doc_id": own}))

    def change(path: str, **body: Any) -> None:
        assert data(http.post(path, json={"doc_ids": [own], **body})) is None

    change("/add_metadata", kv_pair={"title": "TITLE2", "signature": "s"})
    assert known() == {"title": ["title2", "TITLE2"], "year": 1999, "signature": "s"}
    change("/delete_metadata_item", keys=["signature"])
    change("/delete_metadata_item", kv_pair={"title": "TITLE2"})
    assert known() == {"title": ["title2"], "year": 1999}
    change("/update_or_create_metadata_keys", kv_pair={"signature": "signature2"})
    assert data(http.post("/query_metadata", json={"doc_id": own, "key": "signature"})) == "signature2"
    change("/reset_metadata", new_meta={"author": "author2", "year": 2001})
    assert known() == {"author": "author2", "year": 2001}
    until(lambda: settled(http))
    assert "Mangos" in texts(http, "mangos", filters={"year": 2001})
    change("/delete_metadata_item")
    assert known() == {}
    missing = http.post("/query_metadata", json={"doc_id": own, "key": "x"})
    assert (missing.status_code, missing.json()["detail"]) == (404, "the document has no metadata 'x'; known: none")


def test_groups(http: httpx.Client) -> None:
    assert data(http.get("/list_kb_groups")) == ["MediumChunk"]
    for group in ({}, {"group_name": "MediumChunk"}, {"group_name": "__default__"}):
        assert [row[6] for row in data(http.get("/list_files_in_group", params=group))] == [1]
    missing = http.get("/list_files_in_group", params={"group_name": "x"})
    assert (missing.status_code, missing.json()["detail"]) == (404, "there is no node group 'x'; known: MediumChunk")


def test_files_of_the_machine(http: httpx.Client, place: Workplace) -> None:
    ferry, cats = place.docs / "ferry.txt", place.root / "outside" / "cats.txt"
    (own,) = data(http.post("/delete_files", json={"file_ids": [data(http.get("/list_files"))[0][0]]}))[0]
    asked = {"files": [str(ferry), str(cats), str(place.docs / "no.txt")], "metadatas": '[{"year": 1871}, null, {}]'}
    ids = data(http.post("/add_files", json=asked))
    assert ids[0] == own
    assert ids[2] is None
    until(lambda: settled(http))
    assert "basket" in texts(http, "cats")
    assert "1871" in texts(http, "ferry", filters={"year": 1871})
    assert cats.exists()


@pytest.mark.parametrize(
    "path",
    ["secret.txt", "outside/../secret.txt", "outside/link.txt", "outside/up/secret.txt", "/etc/passwd", "~/.ssh/x"],
)
def test_no_path_and_no_link_leads_out(http: httpx.Client, place: Workplace, path: str) -> None:
    response = http.post("/add_files", json={"files": [path if path[0] in "/~" else f"{place.root}/{path}"]})
    assert response.status_code == 403
    assert response.json()["detail"].endswith("lies outside of the folders of corpus.path and serve.add_from")
    assert "swordfish" not in texts(http, "password")


@pytest.mark.parametrize(
    ("name", "said", "status", "detail"),
    [
        ("../../evil.txt", {}, 400, "'../../evil.txt' is no name of a document"),
        ("evil.txt", {"user_path": "../.."}, 400, "'../../evil.txt' is no name of a document"),
        ("a\u202etxt.md", {}, 400, "it has control characters"),
        ("good.txt", {"metadatas": '[{"deep": {}}]'}, 400, "metadata 'deep' = {}: must be a text, a number"),
        ("virus.exe", {}, 400, "'virus.exe': no reader for this kind of file; known: csv, docx"),
        ("a.txt", {"metadatas": "{"}, 400, "metadatas is not JSON"),
        ("a.txt", {"metadatas": "{}"}, 400, "metadatas must be a list of objects as JSON"),
        ("a.txt", {"metadatas": "[{}, {}]"}, 400, "metadatas has 2 entries for 1 files; give one for each"),
        ("a.txt", {"metadatas": '[{"year": "x"}]'}, 400, "metadata 'year' = 'x' must be a whole number"),
        ("a.txt", {"override": "perhaps"}, 422, "override: input should be a valid boolean"),
    ],
)
def test_an_upload_that_cannot_be_changes_nothing(
    http: httpx.Client, name: str, said: dict[str, str], status: int, detail: str
) -> None:
    if "metadatas" in said:
        response = upload(http, (name, b"x"), **said)
    else:
        response = upload(http, (name, b"x"), ("good.txt", b"Good."), **said)
    assert response.status_code == status
    assert detail in response.json()["detail"]
    assert len(data(http.get("/list_files"))) == 1


def bomb(size: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * size)
    return packed.getvalue()


def test_sizes_have_limits(http: httpx.Client, served: Served) -> None:
    for files, detail in (
        ([("large.txt", b"x" * (2**20 + 1))], "'large.txt' has 1.0 MB; at most 1 MB (serve.max_upload_mb)"),
        ([(f"{number}.txt", b"x") for number in range(4)], "4 files at once; at most 3 (serve.max_files)"),
        (
            [("bomb.docx", bomb(3 * 2**20))],
            "'bomb.docx' would be 3 MB in 1 files when it is unpacked; at most 2 MB (serve.max_unpacked_mb) in 20,000",
        ),
        ([("huge.txt", b"x" * (11 * 2**20))], "the body of the request is larger than 10 MB"),
    ):
        response = upload(http, *files)
        assert (response.status_code, response.json()["detail"]) == (413, detail)
    assert len(data(http.get("/list_files"))) == 1
    assert not list((served.app.documents.directory).glob("files/*"))


def test_documents_of_the_page(http: httpx.Client) -> None:
    ids, _ = data(upload(http, ("zebra.txt", b"Zebras are striped."), ("broken.pdf", b"no pdf")))
    until(lambda: settled(http))
    listed = http.get("/api/documents").json()
    assert listed["total"] == 3
    assert listed["hidden"] == []
    assert listed["ingest"]["state"] == "idle"
    by_name = {document["name"]: document for document in listed["documents"]}
    assert by_name["zebra.txt"] == {
        **by_name["zebra.txt"],
        "id": ids[0],
        "origin": "added",
        "size": 19,
        "status": "success",
        "reason": "",
        "metadata": {},
        "nodes": {"MediumChunk": 1},
    }
    assert "path" not in by_name["zebra.txt"]
    assert by_name["broken.pdf"]["status"] == "failed"
    assert by_name["broken.pdf"]["reason"]
    assert [d["name"] for d in http.get("/api/documents?search=ZEB").json()["documents"]] == ["zebra.txt"]
    assert [d["name"] for d in http.get("/api/documents?status=failed").json()["documents"]] == ["broken.pdf"]
    assert [d["name"] for d in http.get("/api/documents?offset=1&limit=1").json()["documents"]] == ["ferry.txt"]
    assert http.get(f"/api/documents/{ids[0]}").json() == by_name["zebra.txt"]
    passages = http.get(f"/api/documents/{ids[0]}/passages").json()
    assert (passages["name"], passages["group"], passages["total"]) == ("zebra.txt", "MediumChunk", 1)
    assert passages["passages"][0]["text"] == "Zebras are striped."
    for path in ("/api/documents/nobody", "/api/documents/nobody/passages"):
        response = http.get(path)
        assert (response.status_code, response.json()["detail"]) == (404, "there is no document with the id 'nobody'")


def test_documents_are_read_anew_and_restored(http: httpx.Client) -> None:
    (own,) = data(http.get("/list_files", params={"details": False}))
    assert http.post("/api/documents/reparse", json={"file_ids": [own]}).status_code == 202
    data(http.post("/delete_files", json={"file_ids": [own], "group_name": "__default__"}))
    assert http.get("/api/documents").json()["hidden"] == [{"id": own, "name": "ferry.txt"}]
    assert http.post("/api/documents/restore", json={"file_ids": [own]}).status_code == 202
    until(lambda: settled(http))
    assert "1871" in texts(http, "ferry")
    refused = http.post("/delete_files", json={"file_ids": [own], "group_name": "MediumChunk"})
    assert refused.status_code == 400
    assert "a document is in all node groups at once" in refused.json()["detail"]
    for path in ("/delete_files", "/api/documents/reparse", "/api/documents/restore"):
        assert http.post(path, json={"file_ids": [own, "nobody"]}).status_code == 404
    assert len(data(http.get("/list_files"))) == 1


def test_pairs_over_http(tmp_path: Path) -> None:
    with chat_server(write_pairs) as server:
        made = workplace(tmp_path, server.url)
        with serving(made.load("map")) as running, httpx.Client(base_url=running.url, timeout=30) as http:
            listed = http.get("/api/qa").json()
            assert listed["total"] == 3
            assert listed["groups"] == ["QA"]
            first, second, third = listed["pairs"]
            changed = http.put(f"/api/qa/{first['id']}", json={"question": "How many eggs?", "answer": "Two thousand."})
            assert (changed.status_code, changed.json()) == (202, {"file_id": first["file_id"]})
            assert http.delete(f"/api/qa/{third['id']}").status_code == 202
            until(lambda: http.get("/api/qa").json()["total"] == 2)
            pairs = http.get("/api/qa", params={"file_id": first["file_id"]}).json()["pairs"]
            assert [(pair["question"], pair["edited"]) for pair in pairs] == [
                ("How many eggs?", True),
                (second["question"], False),
            ]
            missing = http.delete(f"/api/qa/{first['id']}")
            assert missing.status_code == 404
            assert "edited ones get another id" in missing.json()["detail"]
            assert http.put(f"/api/qa/{second['id']}", json={"question": "", "answer": "x"}).status_code == 422
