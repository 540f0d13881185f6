"""The strict stores behind LazyLLM's Document and Retriever: what they find, and that they fail aloud."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from confrag.build.indices.exact import ExactIndex
from confrag.build.indices.lexical import LexicalIndex
from confrag.build.private import store as doc_store
from confrag.build.private.stored_nodes import StoredNodes
from confrag.build.stores import chroma, map, milvus  # noqa: A004
from confrag.build.stores.milvus_index import index_for
from confrag.errors import StoreError, UserError, confrag_error
from confrag.registry.indices import MILVUS_SERVER

from lazyllm.tools.rag import DocNode, Document, Retriever  # isort: skip

DIM, TOPICS, SENTENCES = 24, 20, 500
QUERIES = [f"topic {t} item {n}" for t in range(0, TOPICS, 2) for n in (1000, 2000)]


def vector(text: str) -> np.ndarray:
    """A vector that depends on the text alone: texts of one topic lie together, lengths differ."""
    topic = text.split(" item ")[0]
    center = np.random.default_rng(crc32(topic.encode())).normal(size=DIM)
    rng = np.random.default_rng(crc32(text.encode()))
    return (rng.uniform(0.5, 2) * (center + 0.4 * rng.normal(size=DIM))).astype(np.float32)


TEXTS = [f"topic {n % TOPICS} item {n}" for n in range(SENTENCES)]
MATRIX = np.stack([vector(text) for text in TEXTS])


def similarities(query: str, metric: str) -> np.ndarray:
    """What the stores promise: higher is better, squared Euclidean distance as 1 / (1 + d)."""
    q = vector(query)
    if metric == "L2":
        return 1 / (1 + ((MATRIX - q) ** 2).sum(axis=1))
    dots = MATRIX @ q
    return dots if metric == "IP" else dots / np.linalg.norm(MATRIX, axis=1) / np.linalg.norm(q)


@dataclass(frozen=True)
class Setup:
    """A store to test."""

    name: str
    metric: str
    conf: Callable[[Path], dict[str, Any]]
    exact: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.metric}"


def _milvus(kind: str, metric: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: milvus.store_conf(folder, index_kwargs={"index_type": kind, "metric_type": metric})


def _chroma(space: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: chroma.store_conf(folder, index_kwargs={"hnsw": {"space": space}})


MAP = Setup("map", "COSINE", lambda folder: map.store_conf(folder), exact=True)
MAP_FILE = Setup("map_file", "COSINE", lambda folder: map.store_conf(folder, uri=str(folder / "map.db")), exact=True)
CHROMA = Setup("chroma", "COSINE", _chroma("cosine"))
HNSW = Setup("HNSW", "COSINE", _milvus("HNSW", "COSINE"))
ALL = [
    MAP,
    MAP_FILE,
    CHROMA,
    Setup("chroma", "IP", _chroma("ip")),
    Setup("chroma", "L2", _chroma("l2")),
    *(
        HNSW if (kind, metric) == ("HNSW", "COSINE") else Setup(kind, metric, _milvus(kind, metric), kind == "FLAT")
        for kind in ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX")
        for metric in ("COSINE", "IP", "L2")
    ),
]
EACH_KIND = [MAP, MAP_FILE, CHROMA, HNSW]
ON_DISK = [MAP_FILE, CHROMA, HNSW]


def open_document(setup: Setup, folder: Path) -> Document:
    document = Document(embed={"dense": lambda text: vector(text).tolist()}, store_conf=setup.conf(folder))
    document.create_node_group("chunk", transform=lambda text: [text])
    document.create_node_group("sentence", parent="chunk", transform=lambda text: [text])
    doc_store.activate(document, "chunk")
    doc_store.activate(document, "sentence")
    nodes = StoredNodes(document)
    doc_store.register_index(document, "lexical", LexicalIndex(nodes))
    if setup.name.startswith("map"):
        doc_store.register_index(document, "default", ExactIndex(nodes, doc_store.embeds(document)))
    return document


def make_nodes(numbers: range) -> list[DocNode]:
    """Sentences, fifty to a document, and chunks of ten of them."""
    nodes = []
    for number in numbers:
        shared = {"docid": f"doc{number // 50}", "file": f"文件 {number // 50}.txt"}
        place = {"lazyllm_store_num": number}
        if number % 10 == 0:
            text = f"chunk {number // 10}"
            nodes.append(DocNode(f"c{number // 10}", text, "chunk", metadata=dict(place), global_metadata=shared))
        embedding = {"dense": MATRIX[number]}
        parent = f"c{number // 10}"
        nodes.append(
            DocNode(
                f"s{number}",
                TEXTS[number],
                "sentence",
                embedding,
                parent=parent,
                metadata={**place, "page": number},
                global_metadata=shared,
            )
        )
    return nodes


def filled(setup: Setup, folder: Path) -> Document:
    document = open_document(setup, folder)
    doc_store.write_nodes(document, make_nodes(range(SENTENCES)))
    doc_store.finish(document)
    return document


def retriever(document: Document, topk: int = 10, **kwargs: Any) -> Retriever:
    return Retriever(document, "sentence", similarity="cosine", topk=topk, embed_keys=["dense"], **kwargs)


@pytest.fixture(scope="module", params=ALL, ids=str)
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Setup, Document]]:
    setup = request.param
    document = filled(setup, tmp_path_factory.mktemp("store"))
    yield setup, document
    doc_store.close(document)


def test_the_best_are_found_with_their_scores_best_first(ready: tuple[Setup, Document]) -> None:
    setup, document = ready
    search, found = retriever(document), 0
    for query in QUERIES:
        scores = similarities(query, setup.metric)
        best = np.argsort(-scores)[:10]
        nodes = search(query)
        got = [int(node.uid[1:]) for node in nodes]
        assert len(set(got)) == 10
        tolerance = 0.03 if "SQ" in setup.name else 1e-4
        assert [n.similarity_score for n in nodes] == pytest.approx(scores[got], rel=tolerance, abs=tolerance)
        assert [n.similarity_score for n in nodes] == sorted((n.similarity_score for n in nodes), reverse=True)
        if setup.exact:
            assert got == best.tolist()
        found += len(set(got) & set(best.tolist()))
    assert found / (10 * len(QUERIES)) >= 0.9


def test_text_metadata_and_number_come_back(ready: tuple[Setup, Document]) -> None:
    node = retriever(ready[1], topk=1)(QUERIES[0])[0]
    number = int(node.uid[1:])
    assert (node.text, node.group, node.number) == (TEXTS[number], "sentence", number)
    assert node.metadata["page"] == number
    assert node.global_metadata["file"] == f"文件 {number // 50}.txt"


def test_target_gives_each_parent_once_with_its_best_childs_score(ready: tuple[Setup, Document]) -> None:
    _, document = ready
    for query in QUERIES[:4]:
        best: dict[str, float] = {}
        for node in retriever(document)(query):
            parent = f"c{int(node.uid[1:]) // 10}"
            best[parent] = max(best.get(parent, float("-inf")), node.similarity_score)
        parents = retriever(document, target="chunk")(query)
        assert {p.uid: p.similarity_score for p in parents} == pytest.approx(best)
        assert len(parents) == len(best)
        assert all(p.group == "chunk" and p.text == f"chunk {p.uid[1:]}" for p in parents)


def test_cut_off(ready: tuple[Setup, Document]) -> None:
    everything = retriever(ready[1])(QUERIES[0])
    middle = everything[4].similarity_score - 1e-6
    some = retriever(ready[1], similarity_cut_off=middle)(QUERIES[0])
    assert [node.uid for node in some] == [node.uid for node in everything if node.similarity_score >= middle]


def test_more_asked_for_than_there_are(ready: tuple[Setup, Document]) -> None:
    setup, document = ready
    nodes = retriever(document, topk=SENTENCES + 100)(QUERIES[0])
    # A graph may have corners that nothing leads to, and inverted lists are not all visited.
    assert len(nodes) == SENTENCES if setup.exact else len(nodes) > 0.2 * SENTENCES


def test_eight_threads(ready: tuple[Setup, Document]) -> None:
    _, document = ready
    search = retriever(document)
    expected = {query: [node.uid for node in search(query)] for query in QUERIES[:8]}
    wrong: list[Any] = []

    def ask(query: str) -> None:
        try:
            for _ in range(5):
                uids = [node.uid for node in search(query)]
                if uids != expected[query]:
                    wrong.append(uids)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=[query]) for query in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_words_are_found_on_every_store(ready: tuple[Setup, Document]) -> None:
    search = Retriever(ready[1], "sentence", similarity="bm25", index="lexical", topk=3)
    assert [node.uid for node in search("item 77")][:1] == ["s77"]


@pytest.mark.parametrize("setup", EACH_KIND, ids=str)
def test_deleted_documents_are_gone_from_store_and_indices(setup: Setup, tmp_path: Path) -> None:
    document = filled(setup, tmp_path)
    words = Retriever(document, "sentence", similarity="bm25", index="lexical", topk=3)
    search = retriever(document)
    assert search(TEXTS[60])[0].uid == words("item 60")[0].uid == "s60"
    doc_store.delete_documents(document, ["doc1", "doc2"])
    doc_store.finish(document)
    assert doc_store.count(document, "sentence") == doc_store.count_vectors(document, "sentence") == SENTENCES - 100
    assert doc_store.count(document, "chunk") == 40
    assert not {f"s{n}" for n in range(50, 150)} & {node.uid for node in search(TEXTS[60])}
    assert "s60" not in {node.uid for node in words("item 60")}
    doc_store.delete_nodes(document, "sentence", ["s0"])
    assert "s0" not in {node.uid for node in search(TEXTS[0])}
    doc_store.close(document)


@pytest.mark.parametrize("setup", EACH_KIND, ids=str)
def test_writing_again_replaces(setup: Setup, tmp_path: Path) -> None:
    document = filled(setup, tmp_path)
    changed = make_nodes(range(20))
    for node in changed:
        if node.group == "sentence":
            node.embedding = {"dense": vector(f"topic new item {node.uid}")}
    doc_store.write_nodes(document, changed)
    doc_store.finish(document)
    assert doc_store.count(document, "sentence") == doc_store.count_vectors(document, "sentence") == SENTENCES
    assert retriever(document)("topic new item s3")[0].uid == "s3"
    doc_store.close(document)


@pytest.mark.parametrize("setup", EACH_KIND, ids=str)
def test_an_empty_store_finds_nothing(setup: Setup, tmp_path: Path) -> None:
    document = open_document(setup, tmp_path)
    assert retriever(document)(QUERIES[0]) == []
    assert Retriever(document, "sentence", similarity="bm25", index="lexical")("item") == []
    assert doc_store.count(document, "sentence") == doc_store.count_vectors(document, "sentence") == 0
    doc_store.close(document)


@pytest.mark.parametrize("setup", ON_DISK, ids=str)
def test_everything_is_there_after_reopening(setup: Setup, tmp_path: Path) -> None:
    document = filled(setup, tmp_path)
    before = [(node.uid, node.similarity_score) for node in retriever(document)(QUERIES[5])]
    doc_store.close(document)
    for _ in range(2):
        document = open_document(setup, tmp_path)
        after = [(node.uid, node.similarity_score) for node in retriever(document)(QUERIES[5])]
        assert [uid for uid, _ in after] == [uid for uid, _ in before]
        assert [score for _, score in after] == pytest.approx([score for _, score in before], abs=1e-5)
        doc_store.close(document)


@pytest.mark.parametrize("setup", ON_DISK, ids=str)
def test_a_place_can_be_deleted_and_filled_again(setup: Setup, tmp_path: Path) -> None:
    place = tmp_path / "place"
    threads = set(threading.enumerate())
    for _ in range(2):
        document = filled(setup, place)
        assert retriever(document)(TEXTS[3])[0].uid == "s3"
        doc_store.close(document)
        assert [t.name for t in set(threading.enumerate()) - threads if t.name.startswith("milvus-lite")] == []
        # Chroma's connections are closed by a thread of its own, a moment later.
        deadline = time.monotonic() + 10
        while open_files(place) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert open_files(place) == []
        shutil.rmtree(place)


@pytest.mark.parametrize("setup", ON_DISK, ids=str)
def test_a_second_process_finds_the_same(setup: Setup, tmp_path: Path) -> None:
    document = filled(setup, tmp_path)
    expected = [node.uid for node in retriever(document)(QUERIES[2])]
    doc_store.close(document)
    program = (
        "from tests.integration.test_stores import *\n"
        f"setup = next(s for s in EACH_KIND if str(s) == {str(setup)!r})\n"
        f"document = open_document(setup, Path({str(tmp_path)!r}))\n"
        "print(','.join(node.uid for node in retriever(document)(QUERIES[2])))\n"
        "doc_store.close(document)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().split(",") == expected
    assert done.stderr == ""


def open_files(folder: Path) -> list[str]:
    """Files of a folder that this process holds open, where the system tells."""
    handles = Path("/proc/self/fd")
    paths = [str(handle.readlink()) for handle in handles.iterdir() if handle.is_symlink()] if handles.exists() else []
    return [path for path in paths if path.startswith(str(folder))]


def failure(action: Callable[[], Any]) -> str:
    """The text of the confrag error behind whatever LazyLLM raises."""
    with pytest.raises(Exception) as caught:
        action()
    error = confrag_error(caught.value)
    assert isinstance(error, StoreError), caught.value
    return str(error)


@pytest.mark.parametrize("setup", [CHROMA, HNSW], ids=str)
def test_lost_vectors_are_not_an_empty_result(setup: Setup, tmp_path: Path) -> None:
    doc_store.close(filled(setup, tmp_path))
    if setup is CHROMA:
        for file in (tmp_path / "chroma").iterdir():
            if file.name.startswith("chroma.sqlite3"):
                file.unlink()
    else:
        shutil.rmtree(tmp_path / "milvus.db")
    document = open_document(setup, tmp_path)
    text = failure(lambda: retriever(document)(QUERIES[0]))
    assert "the vectors of collection 'col_sentence' is missing, though 500 nodes are stored with their text" in text
    assert "Delete both and ingest again" in text
    doc_store.close(document)


@pytest.mark.parametrize("setup", [CHROMA, HNSW], ids=str)
def test_lost_text_is_not_an_empty_result(setup: Setup, tmp_path: Path) -> None:
    doc_store.close(filled(setup, tmp_path))
    for file in [*tmp_path.rglob("*segments.db*")]:
        file.unlink()
    document = open_document(setup, tmp_path)
    text = failure(lambda: retriever(document)(QUERIES[0]))
    assert "the text of collection 'col_sentence' is missing, though 500 nodes are stored with their vectors" in text
    doc_store.close(document)


@pytest.mark.parametrize("setup", ON_DISK, ids=str)
@pytest.mark.parametrize("damage", ["truncated", "garbage"])
def test_a_damaged_file_is_named(setup: Setup, damage: str, tmp_path: Path) -> None:
    doc_store.close(filled(setup, tmp_path))
    names = {"map_file": "map.db", "chroma": "chroma.sqlite3", "HNSW": "*.parquet"}
    files = [*tmp_path.rglob(names[setup.name])]
    assert files
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 3] if damage == "truncated" else b"garbage " * (len(content) // 8))

    def use() -> None:
        document = open_document(setup, tmp_path)
        try:
            retriever(document)(QUERIES[0])
        finally:
            doc_store.close(document)

    assert str(tmp_path) in failure(use)


@pytest.mark.parametrize("setup", ON_DISK, ids=str)
def test_a_failed_opening_leaves_nothing_behind(setup: Setup, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("a file where a folder is wanted")
    text = failure(lambda: open_document(setup, place))
    assert str(place) in text
    assert "opening failed" in text
    place.unlink()
    document = filled(setup, place)
    assert retriever(document)(TEXTS[3])[0].uid == "s3"
    doc_store.close(document)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
@pytest.mark.parametrize("setup", ON_DISK, ids=str)
def test_a_folder_without_permission(setup: Setup, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o500)
    assert str(place) in failure(lambda: open_document(setup, place))


@pytest.mark.parametrize("setup", EACH_KIND, ids=str)
def test_a_closed_store_says_so(setup: Setup, tmp_path: Path) -> None:
    document = filled(setup, tmp_path)
    doc_store.close(document)
    doc_store.close(document)
    assert "is not open" in failure(lambda: retriever(document)(QUERIES[0]))
    assert "is not open" in failure(lambda: doc_store.write_nodes(document, make_nodes(range(1))))


@pytest.mark.parametrize("setup", [CHROMA, HNSW], ids=str)
def test_a_node_without_its_vector_is_refused(setup: Setup, tmp_path: Path) -> None:
    document = open_document(setup, tmp_path)
    nodes = [node for node in make_nodes(range(3)) if node.group == "sentence"]
    nodes[1].embedding = {}
    text = failure(lambda: doc_store.write_nodes(document, nodes))
    assert "node s1 has no embedding 'dense', other nodes of its group have" in text
    doc_store.close(document)


@pytest.mark.parametrize("setup", EACH_KIND, ids=str)
def test_a_vector_of_another_dimension_is_refused(setup: Setup, tmp_path: Path) -> None:
    document = filled(setup, tmp_path)
    doc_store.embeds(document)["dense"].func = lambda text: [1.0, 2.0]
    text = failure(lambda: retriever(document)(QUERIES[0]))
    assert "dimension" in text
    doc_store.close(document)


def test_nodes_of_an_inactive_group_are_refused(tmp_path: Path) -> None:
    document = open_document(MAP, tmp_path)
    stray = DocNode("x", "text", "elsewhere", global_metadata={"docid": "doc"})
    assert "groups that are not active cannot be written: elsewhere" in failure(
        lambda: doc_store.write_nodes(document, [stray])
    )


def test_another_metric_or_index_than_was_built_is_refused(tmp_path: Path) -> None:
    doc_store.close(filled(HNSW, tmp_path))
    other = open_document(Setup("HNSW", "L2", _milvus("HNSW", "L2")), tmp_path)
    text = failure(lambda: retriever(other)(QUERIES[0]))
    assert "was built as HNSW COSINE, and HNSW L2 is configured" in text
    doc_store.close(other)
    doc_store.close(filled(CHROMA, tmp_path))
    other = open_document(Setup("chroma", "L2", _chroma("l2")), tmp_path)
    text = failure(lambda: retriever(other)(QUERIES[0]))
    assert "was built with space 'cosine', and 'l2' is configured" in text
    doc_store.close(other)


def test_milvus_lite_belongs_to_one_process(tmp_path: Path) -> None:
    document = filled(HNSW, tmp_path)
    program = (
        "from tests.integration.test_stores import *\n"
        f"failed = failure(lambda: open_document(HNSW, Path({str(tmp_path)!r})))\n"
        "assert 'is open in another process, and Milvus Lite' in failed, failed\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    doc_store.close(document)


def test_two_documents_of_one_process_share_a_milvus_file(tmp_path: Path) -> None:
    first, second = filled(HNSW, tmp_path), open_document(HNSW, tmp_path)
    assert [n.uid for n in retriever(first)(QUERIES[1])] == [n.uid for n in retriever(second)(QUERIES[1])]
    doc_store.close(first)
    assert retriever(second)(TEXTS[3])[0].uid == "s3"
    doc_store.close(second)


def test_milvus_index_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"index_type 'HNWS': there is no such index here\. Did you mean 'HNSW'\?"):
        index_for({"index_type": "HNWS"}, "dense", sparse=False)
    with pytest.raises(UserError, match="index_type 'DISKANN': there is no such index here"):
        index_for([{"embed_key": "dense", "index_type": "DISKANN"}], "dense", sparse=False)
    with pytest.raises(UserError, match="metric_type 'HAMMING'"):
        index_for({"index_type": "FLAT", "metric_type": "HAMMING"}, "dense", sparse=False)
    with pytest.raises(UserError, match=r"unknown key 'index_typ' of index_kwargs; .* Did you mean 'index_type'\?"):
        index_for({"index_typ": "FLAT"}, "dense", sparse=False)
    listed = [{"embed_key": "a", "index_type": "flat", "metric_type": "l2"}, {"index_type": "HNSW", "params": {"M": 8}}]
    assert (index_for(listed, "a", False).index_type, index_for(listed, "a", False).metric_type) == ("FLAT", "L2")
    assert index_for(listed, "b", False).params == {"M": 8, "efConstruction": 200}
    assert index_for(listed, "b", False).metric_type == "COSINE"
    assert index_for(listed, "c", True).index_type == "SPARSE_INVERTED_INDEX"
    assert index_for(listed, "b", False).searching(500)["params"]["ef"] == 500
    assert index_for({"index_type": "IVF_FLAT", "params": {"nlist": 1024}}, "a", False).building(8, 390)["nlist"] == 10
    assert (
        index_for({"index_type": "DISKANN"}, "a", False, MILVUS_SERVER).searching(500)["params"]["search_list"] == 500
    )
    assert index_for({"index_type": "IVF_PQ"}, "a", False, MILVUS_SERVER).building(384)["m"] == 192
    assert index_for({"index_type": "IVF_PQ"}, "a", False, MILVUS_SERVER).building(7)["m"] == 1


@pytest.mark.parametrize("kind", ["FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW"])
def test_finish_builds_the_index_of_milvus(kind: str, tmp_path: Path) -> None:
    def unindexed() -> list[str]:
        indexed = {file.name.split(".")[0] for file in tmp_path.rglob(f"*.{kind.lower()}.idx")}
        return [file.name for file in tmp_path.rglob("data_*.parquet") if file.stem not in indexed]

    document = open_document(Setup(kind, "COSINE", _milvus(kind, "COSINE")), tmp_path)
    for numbers in (range(400), range(400, 420), range(380, SENTENCES)):
        doc_store.write_nodes(document, make_nodes(numbers))
        assert retriever(document)(TEXTS[numbers[-1]])[0].uid == f"s{numbers[-1]}"
        doc_store.finish(document)
        assert [*tmp_path.rglob("data_*.parquet")]
        assert unindexed() == []
        assert retriever(document)(TEXTS[numbers[-1]])[0].uid == f"s{numbers[-1]}"
    assert doc_store.count_vectors(document, "sentence") == SENTENCES
    doc_store.close(document)


def test_sparse_vectors_in_milvus(tmp_path: Path) -> None:
    vectors = {"s0": {1: 0.5, 7: 1.0}, "s1": {7: 0.2, 9: 2.0}, "s2": {100: 1.0}}
    document = Document(embed={"sparse": lambda text: {7: 1.0, 9: 0.1}}, store_conf=milvus.store_conf(tmp_path))
    document.create_node_group("sentence", transform=lambda text: [text])
    doc_store.activate(document, "sentence")
    nodes = [
        DocNode(uid, uid, "sentence", {"sparse": sparse}, global_metadata={"docid": "doc"})
        for uid, sparse in vectors.items()
    ]
    doc_store.write_nodes(document, nodes)
    doc_store.finish(document)
    found = Retriever(document, "sentence", topk=5, embed_keys=["sparse"])("anything")
    assert [(n.uid, round(n.similarity_score, 3)) for n in found] == [("s0", 1.0), ("s1", 0.4)]
    doc_store.close(document)
