"""The stores on real servers: Milvus standalone, Milvus Lite as a server, and Chroma's own."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

import confrag
from confrag.build.private import store as doc_store
from confrag.build.stores import chroma, milvus
from confrag.cli import main
from confrag.config import load
from confrag.errors import ConfragError, ServiceError, StoreError, UserError, confrag_error
from confrag.plan import compile_plan
from confrag.registry import builder
from tests.integration import servers
from tests.integration.conftest import Running
from tests.integration.test_stores import (
    QUERIES,
    SENTENCES,
    TEXTS,
    Setup,
    filled,
    make_nodes,
    open_document,
    retriever,
    similarities,
    vector,
)

from lazyllm.tools.rag import DocNode, Document, Retriever  # isort: skip

LIGHT = ["milvus_lite_server", "chroma_server"]
SERVERS = ["milvus_server", *LIGHT]
Conf = Callable[..., Setup]


def on(running: Running) -> Conf:
    """Stores on a server: `on(server)(index_type=..., timeout_s=...)`."""

    def setup(metric: str = "COSINE", index_type: str = "HNSW", **given: Any) -> Setup:
        kwargs = {**running.arguments, "uri": running.uri, **given}
        if running.kind == "Chroma":
            kwargs["index_kwargs"] = {"hnsw": {"space": metric.lower()}}
            return Setup("chroma", metric, lambda folder: chroma.store_conf(folder, **kwargs))
        kwargs.setdefault("index_kwargs", {"index_type": index_type, "metric_type": metric})
        return Setup(index_type, metric, lambda folder: milvus.store_conf(folder, **kwargs))

    return setup


@pytest.fixture(params=SERVERS, scope="module")
def running(request: pytest.FixtureRequest) -> Running:
    """Each of the servers."""
    found: Running = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def ready(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Document]:
    """A collection on each of the servers."""
    document = filled(on(running)(), tmp_path_factory.mktemp("ready"))
    yield document
    doc_store.close(document)


def fault(action: Callable[[], Any]) -> ConfragError:
    """The confrag error behind whatever LazyLLM raises."""
    with pytest.raises(Exception) as caught:
        action()
    error = confrag_error(caught.value)
    assert error is not None, caught.value
    return error


def away(running: Running, action: str, reason: str) -> str:
    """What is said of a server that does not answer."""
    port = running.uri.rpartition(":")[2]
    start = {
        "Chroma": f"chroma run --path DIR --host 127.0.0.1 --port {port}",
        "Milvus": f"milvus-lite server --data-dir DIR --host 127.0.0.1 --port {port}",
    }[running.kind]
    return (
        f"the {running.kind} server at {running.uri} does not answer ({action}: {reason}). Start it, for example with "
        f"'{start}', or name another one with `uri` in store_conf"
    )


def test_the_best_are_found_with_their_scores(ready: Document) -> None:
    search, found = retriever(ready), 0
    for query in QUERIES:
        scores = similarities(query, "COSINE")
        nodes = search(query)
        got = [int(node.uid[1:]) for node in nodes]
        assert [node.similarity_score for node in nodes] == pytest.approx(scores[got], abs=1e-4)
        assert [node.text for node in nodes] == [TEXTS[number] for number in got]
        found += len(set(got) & set(np.argsort(-scores)[:10].tolist()))
    assert found / (10 * len(QUERIES)) >= 0.95


def test_writes_and_deletions_are_seen_at_once_and_stay(running: Running, tmp_path: Path) -> None:
    setup = on(running)()
    document = open_document(setup, tmp_path)
    for numbers in (range(200), range(200, 230)):
        doc_store.write_nodes(document, make_nodes(numbers))
        assert retriever(document)(TEXTS[numbers[-1]])[0].uid == f"s{numbers[-1]}"
        assert doc_store.count_vectors(document, "sentence") == numbers.stop
    doc_store.finish(document)
    changed = make_nodes(range(10))
    for node in changed:
        if node.group == "sentence":
            node.embedding = {"dense": vector(f"topic new item {node.uid}")}
    doc_store.write_nodes(document, changed)
    assert retriever(document)("topic new item s3")[0].uid == "s3"
    doc_store.delete_documents(document, ["doc1"])
    assert not {f"s{n}" for n in range(50, 100)} & {node.uid for node in retriever(document, topk=200)(TEXTS[60])}
    doc_store.delete_nodes(document, "sentence", ["s3"])
    doc_store.finish(document)
    doc_store.close(document)

    document = open_document(setup, tmp_path)
    assert doc_store.count(document, "sentence") == doc_store.count_vectors(document, "sentence") == 179
    assert "s3" not in {node.uid for node in retriever(document)("topic new item s3")}
    assert retriever(document)("topic new item s4")[0].uid == "s4"
    doc_store.close(document)


def test_another_collection_on_the_server_is_another(running: Running, ready: Document, tmp_path: Path) -> None:
    document = open_document(on(running)(), tmp_path / "another")
    assert retriever(document)(QUERIES[0]) == []
    assert doc_store.count_vectors(document, "sentence") == 0
    doc_store.write_nodes(document, make_nodes(range(10)))
    assert {node.uid for node in retriever(document, topk=50)(QUERIES[0])} == {f"s{n}" for n in range(10)}
    doc_store.delete_documents(document, ["doc0"])
    assert retriever(ready)(TEXTS[3])[0].uid == "s3"
    assert doc_store.count_vectors(ready, "sentence") == SENTENCES
    doc_store.close(document)


def test_a_name_that_servers_do_not_take(running: Running, tmp_path: Path) -> None:
    conf = on(running)().conf(tmp_path / "a b-c")
    document = Document(embed={"bge-m3": lambda text: vector(text).tolist()}, store_conf=conf)
    document.create_node_group("Q&A 问", transform=lambda text: [text])
    doc_store.activate(document, "Q&A 问")
    node = DocNode("s0", TEXTS[0], "Q&A 问", {"bge-m3": vector(TEXTS[0])}, global_metadata={"docid": "doc0"})
    doc_store.write_nodes(document, [node])
    doc_store.close(document)
    document = Document(embed={"bge-m3": lambda text: vector(text).tolist()}, store_conf=conf)
    document.create_node_group("Q&A 问", transform=lambda text: [text])
    doc_store.activate(document, "Q&A 问")
    found = Retriever(document, "Q&A 问", similarity="cosine", topk=3, embed_keys=["bge-m3"])(TEXTS[0])
    assert [node.uid for node in found] == ["s0"]
    doc_store.close(document)


def test_another_metric_than_was_built_is_refused_and_can_be_built_anew(running: Running, tmp_path: Path) -> None:
    document = open_document(on(running)(), tmp_path)
    doc_store.write_nodes(document, make_nodes(range(10)))
    doc_store.close(document)
    other = open_document(on(running)("L2"), tmp_path)
    error = fault(lambda: retriever(other)(QUERIES[0]))
    assert isinstance(error, StoreError)
    assert "Delete it and ingest again, or configure" in str(error)
    for part in doc_store.document_store(other)._impl.segment_store, doc_store.document_store(other)._impl.vector_store:
        part.delete("col_sentence")
    doc_store.write_nodes(other, make_nodes(range(10)))
    assert retriever(other)(TEXTS[3])[0].uid == "s3"
    doc_store.close(other)


@pytest.mark.parametrize("server", LIGHT)
def test_lost_text_is_not_an_empty_result(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    running: Running = request.getfixturevalue(server)
    document = open_document(on(running)(), tmp_path)
    doc_store.write_nodes(document, make_nodes(range(10)))
    doc_store.close(document)
    for file in tmp_path.glob("segments.db*"):
        file.unlink()
    document = open_document(on(running)(), tmp_path)
    assert "the text of collection 'col_sentence' is missing, though 10 nodes are stored with their vectors" in str(
        fault(lambda: retriever(document)(QUERIES[0]))
    )
    doc_store.close(document)


# The server's index is not used below 1024 rows.
ROWS = 1500
INDICES = {"FLAT": 1.0, "HNSW": 0.95, "IVF_FLAT": 0.9, "IVF_SQ8": 0.9, "IVF_PQ": 0.7, "DISKANN": 0.9}
MATRIX = np.stack([vector(f"topic {n % 40} item {n}") for n in range(ROWS)])


def _indexed(setup: Setup, folder: Path) -> Document:
    document = open_document(setup, folder)
    nodes = [
        DocNode(f"s{n}", f"{n}", "sentence", {"dense": row}, global_metadata={"docid": "doc"})
        for n, row in enumerate(MATRIX)
    ]
    doc_store.write_nodes(document, nodes)
    doc_store.finish(document)
    return document


@pytest.mark.slow
def test_the_dense_indices_of_milvus(milvus_server: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # This build of the server knows DISKANN by name and cannot build it: one index that is never complete.
    setups = {kind: on(milvus_server)(index_type=kind, index_timeout_s=30) for kind in INDICES}
    setups["DISKANN"] = on(milvus_server)(index_type="DISKANN", index_timeout_s=8)
    with caplog.at_level(logging.WARNING, "confrag"), ThreadPoolExecutor(len(INDICES)) as workers:
        opened = {kind: workers.submit(_indexed, setup, tmp_path / kind) for kind, setup in setups.items()}
        documents = {kind: future.result() for kind, future in opened.items()}
    assert [record.getMessage() for record in caplog.records if record.name == "confrag"] == [
        f"Milvus server {milvus_server.uri}: the DISKANN index of collection 'confrag_DISKANN_col_sentence' is not "
        f"complete after 8 s (0 of {ROWS} rows). The server goes on building it; until then, searches are slower or "
        "find less"
    ]
    recall = {}
    for kind, document in documents.items():
        search, found = retriever(document), 0
        for query in QUERIES:
            q = vector(query)
            best = np.argsort(-(MATRIX @ q) / np.linalg.norm(MATRIX, axis=1))[:10]
            found += len({int(node.uid[1:]) for node in search(query)} & set(best.tolist()))
        recall[kind] = found / (10 * len(QUERIES))
        client = doc_store.document_store(document)._impl.vector_store._client
        built = client.describe_index(f"confrag_{kind}_col_sentence", "embedding_dense")
        assert (built["index_type"], built["indexed_rows"]) == (kind, 0 if kind == "DISKANN" else ROWS)
        doc_store.close(document)
    assert {kind: share for kind, share in recall.items() if share < INDICES[kind]} == {}


@pytest.mark.parametrize(
    ("server", "metric"), [("milvus_server", "L2"), *((server, m) for server in LIGHT for m in ("L2", "IP"))]
)
def test_the_other_metrics(server: str, metric: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    running: Running = request.getfixturevalue(server)
    document = open_document(on(running)(metric), tmp_path)
    doc_store.write_nodes(document, make_nodes(range(100)))
    scores = similarities(QUERIES[0], metric)[:100]
    nodes = retriever(document)(QUERIES[0])
    assert [int(node.uid[1:]) for node in nodes] == np.argsort(-scores)[:10].tolist()
    assert [node.similarity_score for node in nodes] == pytest.approx(np.sort(scores)[::-1][:10], rel=1e-4)
    doc_store.close(document)


def test_product_quantization_divides_the_dimensions(milvus_server: Running, tmp_path: Path) -> None:
    index = {"index_type": "IVF_PQ", "params": {"m": 5}}
    document = open_document(on(milvus_server)(index_kwargs=index), tmp_path)
    error = fault(lambda: doc_store.write_nodes(document, make_nodes(range(10))))
    assert isinstance(error, UserError)
    assert str(error) == (
        "store_conf: index_kwargs params m=5 does not divide the 24 dimensions of the vectors; these do: "
        "1, 2, 3, 4, 6, 8, 12, 24"
    )
    doc_store.close(document)


def test_sparse_vectors(milvus_lite_server: Running, tmp_path: Path) -> None:
    vectors = {"s0": {1: 0.5, 7: 1.0}, "s1": {7: 0.2, 9: 2.0}, "s2": {100: 1.0}}
    conf = milvus.store_conf(tmp_path, uri=milvus_lite_server.uri)
    document = Document(embed={"sparse": lambda text: {7: 1.0, 9: 0.1}}, store_conf=conf)
    document.create_node_group("sentence", transform=lambda text: [text])
    doc_store.activate(document, "sentence")
    nodes = [
        DocNode(uid, uid, "sentence", {"sparse": sparse}, global_metadata={"docid": "doc"})
        for uid, sparse in vectors.items()
    ]
    doc_store.write_nodes(document, nodes)
    doc_store.finish(document)
    found = Retriever(document, "sentence", topk=5, embed_keys=["sparse"])("anything")
    assert [(node.uid, round(node.similarity_score, 3)) for node in found] == [("s0", 1.0), ("s1", 0.4)]
    client = doc_store.document_store(document)._impl.vector_store._client
    name = (
        client.list_collections()[0] if len(client.list_collections()) == 1 else f"confrag_{tmp_path.name}_col_sentence"
    )
    assert client.describe_index(name, "embedding_sparse")["index_type"] == "SPARSE_INVERTED_INDEX"
    doc_store.close(document)


def test_a_server_that_is_away_at_the_start(
    running: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (port,) = servers.free_ports(1)
    nobody = Running(running.kind, running.server, f"http://127.0.0.1:{port}", running.arguments)
    error = fault(lambda: open_document(on(nobody)(timeout_s=5), tmp_path))
    assert isinstance(error, ServiceError)
    assert str(error) == away(nobody, "connecting", "Connection refused")
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_server_that_goes_away_and_comes_back(
    running: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = open_document(on(running)(timeout_s=20), tmp_path)
    doc_store.write_nodes(document, make_nodes(range(60)))
    doc_store.finish(document)
    expected = [node.uid for node in retriever(document)(QUERIES[0])]
    capfd.readouterr()
    running.server.stop()
    try:
        for action in ("searching", "opening"):
            error = fault(lambda: retriever(document)(QUERIES[0]))
            assert isinstance(error, ServiceError)
            assert str(error) == away(running, f"{action} collection 'col_sentence'", "Connection refused")
        error = fault(lambda: doc_store.write_nodes(document, make_nodes(range(60, 70))))
        assert isinstance(error, ServiceError)
    finally:
        running.server.start()
    assert [node.uid for node in retriever(document)(QUERIES[0])] == expected
    doc_store.write_nodes(document, make_nodes(range(60, 70)))
    assert retriever(document)(TEXTS[65])[0].uid == "s65"
    assert doc_store.count_vectors(document, "sentence") == 70
    doc_store.close(document)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("server", LIGHT)
def test_a_restart_that_nobody_notices(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    running: Running = request.getfixturevalue(server)
    document = open_document(on(running)(), tmp_path)
    doc_store.write_nodes(document, make_nodes(range(60)))
    doc_store.finish(document)
    expected = [node.uid for node in retriever(document)(QUERIES[0])]
    running.server.restart()
    assert [node.uid for node in retriever(document)(QUERIES[0])] == expected
    doc_store.close(document)


def test_a_server_that_hangs(running: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    document = open_document(on(running)(), tmp_path)
    doc_store.write_nodes(document, make_nodes(range(10)))
    doc_store.close(document)
    document = open_document(on(running)(timeout_s=0.5), tmp_path)
    assert retriever(document)(TEXTS[3])[0].uid == "s3"
    capfd.readouterr()
    running.server.freeze()
    try:
        error = fault(lambda: retriever(document)(QUERIES[0]))
        start = fault(lambda: open_document(on(running)(timeout_s=0.5), tmp_path / "other"))
    finally:
        running.server.thaw()
    assert isinstance(error, ServiceError)
    assert "nothing within 0.5 s" in str(error)
    assert str(start) == away(running, "connecting", "nothing within 0.5 s")
    assert retriever(document)(TEXTS[3])[0].uid == "s3"
    doc_store.close(document)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("server", ["milvus_server", "milvus_lite_server"])
def test_a_database_of_its_own(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    running: Running = request.getfixturevalue(server)
    error = fault(lambda: open_document(on(running)(db_name="elsewhere"), tmp_path))
    assert isinstance(error, UserError)
    assert str(error) == f"store_conf: the Milvus server at {running.uri} has no database 'elsewhere'; it has: default"
    first = open_document(on(running)(), tmp_path / "same")
    client = doc_store.document_store(first)._impl.vector_store._client
    client.create_database("elsewhere")
    doc_store.write_nodes(first, make_nodes(range(10)))
    document = open_document(on(running)(db_name="elsewhere"), tmp_path / "same")
    assert doc_store.count_vectors(document, "sentence") == 0
    doc_store.close(document)
    doc_store.close(first)


def test_a_tenant_that_is_not_there(chroma_server: Running, tmp_path: Path) -> None:
    error = fault(lambda: open_document(on(chroma_server)(database="elsewhere"), tmp_path))
    assert isinstance(error, UserError)
    assert str(error) == (
        f"store_conf: the Chroma server at {chroma_server.uri} has no database 'elsewhere' of a tenant 'default_tenant'"
    )


def test_user_password_and_token_of_milvus(
    milvus_server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_USER", "root")
    monkeypatch.setenv("MILVUS_PASSWORD", "wrong-secret")
    monkeypatch.delenv("MILVUS_TOKEN", raising=False)
    anyone = Running("Milvus", milvus_server.server, milvus_server.uri)
    user = {"user_env": "MILVUS_USER", "password_env": "MILVUS_PASSWORD"}
    refused = f"the Milvus server at {anyone.uri} refuses access (connecting, "
    for arguments, ending in (
        ({}, "without user, password or token)"),
        (user, "with the credentials of MILVUS_USER, MILVUS_PASSWORD)"),
    ):
        error = fault(lambda arguments=arguments: open_document(on(anyone)(**arguments), tmp_path))
        assert isinstance(error, UserError)
        assert str(error) == refused + ending
    error = fault(lambda: open_document(on(anyone)(token_env="MILVUS_TOKEN"), tmp_path))
    assert isinstance(error, UserError)
    assert str(error) == (
        "the environment variable MILVUS_TOKEN is not set; it must hold the token for the Milvus server at "
        f"{anyone.uri}"
    )
    monkeypatch.setenv("MILVUS_PASSWORD", "Milvus")
    document = open_document(on(anyone)(**user), tmp_path)
    assert retriever(document)(QUERIES[0]) == []
    doc_store.close(document)


@pytest.fixture
def gate(chroma_server: Running) -> Iterator[Running]:
    """A gateway before Chroma, which has no authentication of its own, that lets one token through."""

    class Gate(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            status, content = 401, b"who are you?"
            if self.headers["Authorization"] == "Bearer open-sesame" == f"Bearer {self.headers['X-Chroma-Token']}":
                headers = {"Content-Type": "application/json"}
                request = Request(chroma_server.uri + self.path, body, headers, method=self.command)
                try:
                    with urlopen(request) as response:
                        status, content = response.status, response.read()
                except HTTPError as error:
                    status, content = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Running("Chroma", chroma_server.server, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_token_of_chroma(gate: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMA_TOKEN", "wrong-secret")
    refused = f"the Chroma server at {gate.uri} refuses access (connecting, "
    error = fault(lambda: open_document(on(gate)(), tmp_path))
    assert isinstance(error, UserError)
    assert str(error) == f"{refused}without a token)"
    assert str(fault(lambda: open_document(on(gate)(token_env="CHROMA_TOKEN"), tmp_path))) == (
        f"{refused}with the token of CHROMA_TOKEN)"
    )
    monkeypatch.setenv("CHROMA_TOKEN", "open-sesame")
    document = filled(on(gate)(token_env="CHROMA_TOKEN"), tmp_path)
    assert retriever(document)(TEXTS[3])[0].uid == "s3"
    doc_store.close(document)
    shutil.rmtree(tmp_path)


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus in the working folder, which is returned."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tea.md").write_text("Green tea is brewed at eighty degrees.", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def preset(running: Running) -> list[str]:
    """The packaged preset of a server, at its address."""
    arguments = {"uri": running.uri, **running.arguments}
    kwargs = [f"store_conf.kwargs.{key}={value}" for key, value in arguments.items()]
    return [f"conf={running.kind.lower()}_remote", "corpus.path=docs", "llm=extractive", *kwargs]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``confrag run`` in a process of its own."""
    command = [sys.executable, "-m", "confrag", "run", "query=How hot is the water for green tea?", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.models
def test_the_presets(running: Running, docs: Path) -> None:
    counts = []
    for _ in range(3):
        name, *overrides = preset(running)
        with confrag.load(name.removeprefix("conf="), overrides=overrides) as app:
            assert app.ask("How hot is the water for green tea?").sources[0].file == "tea.md"
            counts.append((app.corpus.added, app.corpus.embedded))
    assert counts == [(1, 1), (0, 0), (0, 0)]


@pytest.mark.models
@pytest.mark.parametrize("server", LIGHT)
def test_secrets_stay_in_the_environment(
    server: str, request: pytest.FixtureRequest, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_TOKEN", "sesame-open")
    token = "store_conf.kwargs.token_env=SERVER_TOKEN"
    done = run(*preset(request.getfixturevalue(server)), token, "verbose=true", "debug=true")
    assert done.returncode == 0, done.stderr
    assert "eighty degrees" in done.stdout
    assert "sesame-open" not in done.stdout + done.stderr
    files = [file for file in docs.rglob("*") if file.is_file()]
    assert {"segments.db", "manifest.sqlite3", "confrag.log", "config.yaml"} <= {file.name for file in files}
    assert [file for file in files if b"sesame-open" in file.read_bytes()] == []


@pytest.mark.models
def test_one_message_and_exit_code_4(milvus_lite_server: Running, docs: Path) -> None:
    (port,) = servers.free_ports(1)
    nobody = Running("Milvus", milvus_lite_server.server, f"http://127.0.0.1:{port}")
    done = run(*preset(nobody))
    message = away(nobody, "connecting", "Connection refused")
    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"confrag: {message}\n")


def doctor(running: Running, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of ``confrag doctor``, and what it says of the store."""
    code = main(["doctor", *preset(running)])
    lines = capsys.readouterr().out.splitlines()
    return code, next(" ".join(line.split()) for line in lines if line.split()[1] == "store_conf")


def test_the_doctor_asks_the_server(running: Running, docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(running, capsys) == (0, f"ok store_conf {running.uri} answers")
    (port,) = servers.free_ports(1)
    nobody = Running(running.kind, running.server, f"http://127.0.0.1:{port}", running.arguments)
    said = f"unreachable store_conf {away(nobody, 'connecting', 'Connection refused')}"
    assert doctor(nobody, capsys) == (4, said)


def test_the_doctor_is_refused(
    milvus_server: Running, docs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WRONG", "root:sesame-open")
    wrong = Running("Milvus", milvus_server.server, milvus_server.uri, {"token_env": "WRONG"})
    message = f"the Milvus server at {wrong.uri} refuses access (connecting, with the credentials of WRONG)"
    assert doctor(wrong, capsys) == (2, f"missing store_conf {message}")


@pytest.mark.parametrize("server", ["milvus_server", "milvus_lite_server"])
def test_wherever_a_milvus_store_may_be_declared(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    running: Running = request.getfixturevalue(server)
    kwargs = {"uri": running.uri, **running.arguments}
    text = str(tmp_path / "text.db")
    smart = {
        "type": "map",
        "kwargs": {"uri": text},
        "indices": {"smart_embedding_index": {"backend": "milvus", "kwargs": kwargs}},
    }
    split = {
        "segment_store": {"type": "map", "kwargs": {"uri": text}},
        "vector_store": {"type": "milvus", "kwargs": kwargs},
    }
    confs = []
    for conf in (smart, split):
        composed, config = load("quickstart", [f"store_conf={conf!r}"])
        store = compile_plan(config, composed.name).store
        confs.append(builder("stores", store.kind)(tmp_path, **store.params.thaw()))
    assert confs[0] == confs[1]
    assert confs[0]["segment_store"]["kwargs"]["uri"] == text
    document = open_document(Setup("FLAT", "COSINE", lambda folder: confs[0]), tmp_path)
    doc_store.write_nodes(document, make_nodes(range(10)))
    assert retriever(document)(TEXTS[3])[0].uid == "s3"
    doc_store.close(document)
