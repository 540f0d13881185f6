"""Sparse vectors, and several embeddings of a node group, in the stores that have them."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from pymilvus import MilvusClient

import confrag
from confrag.build.models.protocols import SparseVector
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.schema.models import ModelSpec
from tests.engine import Found, Hashed, Workplace, answers, hashed_registered, stored
from tests.integration.conftest import Running

QUESTIONS = ["When does the harbour office open?", "forty tonnes", "the northern crane of 1964", "bread"]
WORDS = {
    "office": "The harbour office opens at nine. It closes at noon on Saturdays.",
    "cranes": "The northern crane lifts forty tonnes. It was built in 1964.",
    "bread": "Bread dough rises for an hour. Then the bread is baked.",
    "numbers": "12 34 56",
    "trains": "The night train to the harbour leaves at eleven. It carries forty wagons.",
}
MODELS = ("embed=hashed", "+models.sparse={role: embed, kind: hashed_sparse}")
LIST = (
    "[{embed_key: embed, index_type: FLAT, metric_type: COSINE}, "
    "{embed_key: sparse, index_type: SPARSE_INVERTED_INDEX, metric_type: IP}]"
)
SMART = f"indices: {{smart_embedding_index: {{backend: milvus, kwargs: {{index_kwargs: {LIST}}}}}}}"


class HashedSparseSpec(ModelSpec):
    """The words of a text, counted; numbers are none."""

    role: Literal["embed"]
    kind: Literal["hashed_sparse"]


class HashedSparse:
    """Embeds a text as the counts of its words, by the hash of the word; a text without words has no weights at all."""

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> list[SparseVector]:
        return [self.query(text) for text in texts]

    def query(self, text: str) -> SparseVector:
        vector: SparseVector = {}
        for word in re.findall(r"[a-z]+", text.lower()):
            number = zlib.crc32(word.encode()) % 100_000
            vector[number] = vector.get(number, 0.0) + 1.0
        return vector

    def close(self) -> None:
        pass


def build_hashed_sparse(*, role: str, progress: ProgressFn) -> HashedSparse:
    return HashedSparse()


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with hashed_registered():
        confrag.register("models", "hashed_sparse", HashedSparseSpec, build_hashed_sparse)
        yield


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    made = Workplace(tmp_path, MODELS)
    made.write(**WORDS)
    return made


def routes(*keys: str) -> list[str]:
    """Overrides: one retriever of sentences by these embeddings."""
    return [
        "node_groups.MediumChunk.transform={kind: split, separator: '. '}",
        f"retrievers.chunk.embed_keys=[{', '.join(keys)}]",
        "retrievers.chunk.topk=3",
    ]


def by_hand(question: str, count: int = 3) -> list[float]:
    """The best inner products with the sentences of the corpus."""
    model = HashedSparse()
    asked = model.query(question)
    sentences = [model.query(text) for words in WORDS.values() for text in words.split(". ")]
    products = [sum(weight * asked.get(token, 0.0) for token, weight in text.items()) for text in sentences]
    return sorted((product for product in products if product), reverse=True)[:count]


def scores(found: Sequence[Found]) -> list[list[float]]:
    return [[score for _, score in hits] for hits in found]


STORES = {
    "milvus": f"store_conf={{type: milvus, kwargs: {{index_kwargs: {LIST}}}}}",
    "map_smart": f"store_conf={{type: map, {SMART}}}",
    "chroma_smart": f"store_conf={{type: chroma, {SMART}}}",
}


@pytest.mark.parametrize("store", STORES)
def test_sparse_vectors_are_found_by_inner_product(place: Workplace, store: str) -> None:
    with place.load("quickstart", STORES[store], *routes("sparse")) as app:
        found = scores(answers(app, QUESTIONS))
    assert found == [by_hand(question) for question in QUESTIONS]
    assert found[3] == [1.0, 1.0]


def test_a_question_without_words_finds_nothing(place: Workplace) -> None:
    with place.load("quickstart", STORES["milvus"], *routes("sparse")) as app:
        assert app.retrieve("?!") == []


@pytest.mark.parametrize("store", STORES)
def test_dense_and_sparse_routes_of_one_group(place: Workplace, store: str) -> None:
    sparse = "{group: MediumChunk, similarity: cosine, embed_keys: [sparse], topk: 3}"
    branches = "{chunk: {kind: retrieve, retriever: chunk}, sparse: {kind: retrieve, retriever: sparse}}"
    more = [
        STORES[store],
        *routes("embed"),
        f"+retrievers.sparse={sparse}",
        f"recall.steps.routes={{kind: parallel, merge: rrf, branches: {branches}}}",
    ]
    with place.load("quickstart", *more) as app:
        assert (app.corpus.nodes["MediumChunk"], app.corpus.embedded) == (9, 18)
        hits = app.retrieve("the northern crane of 1964")
        first = answers(app, QUESTIONS)
    assert {hit.route for hit in hits} >= {"chunk+sparse"}
    assert hits[0].file == "cranes.txt"
    with place.load("quickstart", *more) as app:
        assert (app.corpus.embedded, app.corpus.embedding_cache_hits) == (0, 0)
        assert answers(app, QUESTIONS) == first
    with place.load("quickstart", *more, state=place.root / "elsewhere") as app:
        assert answers(app, QUESTIONS) == first


def test_the_embedding_cache_holds_sparse_vectors(place: Workplace) -> None:
    with place.load("quickstart", STORES["milvus"], *routes("sparse")) as app:
        first = answers(app, QUESTIONS)
        assert app.corpus.embedded == 9
    with place.load("quickstart", "store_conf=milvus_flat", *routes("sparse")) as app:
        assert (app.corpus.embedded, app.corpus.embedding_cache_hits) == (0, 9)
        assert answers(app, QUESTIONS) == first


DENSE_STORES = {
    "map": "store_conf=map",
    "chroma": "store_conf=chroma",
    "milvus": "store_conf=milvus_flat",
    "milvus_list": "store_conf={type: milvus, kwargs: {index_kwargs: [{embed_key: embed, index_type: FLAT}, "
    "{embed_key: other, index_type: HNSW}]}}",
    "chroma_smart": STORES["chroma_smart"]
    .replace("sparse", "other")
    .replace("_INVERTED_INDEX", "")
    .replace("SPARSE", "HNSW"),
}


@pytest.mark.parametrize("store", DENSE_STORES)
def test_of_several_embeddings_the_best_score_counts(tmp_path: Path, store: str) -> None:
    place = Workplace(tmp_path, ("embed=hashed", "+models.other={role: embed, kind: hashed, dim: 64, salt: other}"))
    place.write(**WORDS)
    models = [Hashed(128, ""), Hashed(64, "other")]
    with place.load("quickstart", DENSE_STORES[store], *routes("embed", "other")) as app:
        for question in QUESTIONS:
            texts = {hit.id: hit.text for hit in app.retrieve(question, topk=100)}
            cosines = [max(float(m.query(text) @ m.query(question)) for m in models) for text in texts.values()]
            assert len(texts) == app.corpus.nodes["MediumChunk"]
            hits = app.retrieve(question)
            assert [hit.score for hit in hits] == pytest.approx(sorted(cosines, reverse=True)[:3], abs=1e-3)
            assert len({hit.id for hit in hits}) == 3


@pytest.mark.parametrize("server", ["milvus_lite_server"])
def test_sparse_vectors_on_a_server(place: Workplace, server: str, request: pytest.FixtureRequest) -> None:
    running: Running = request.getfixturevalue(server)
    store = f"store_conf={{type: milvus, kwargs: {{uri: '{running.uri}', index_kwargs: {LIST}}}}}"
    with place.load("quickstart", store, *routes("sparse")) as app:
        found = scores(answers(app, QUESTIONS))
    assert found == [by_hand(question) for question in QUESTIONS]


def test_a_server_that_is_older_than_sparse_vectors(place: Workplace, milvus_server: Running) -> None:
    kwargs = f"uri: '{milvus_server.uri}', token_env: {milvus_server.arguments['token_env']}, index_kwargs: {LIST}"
    engine = place.load("quickstart", f"store_conf={{type: milvus, kwargs: {{{kwargs}}}}}", *routes("sparse"))
    with pytest.raises(UserError) as caught:
        engine.start()
    message = re.sub(r"version \S+,", "version N,", str(caught.value))
    assert message == (
        f"store_conf: the Milvus server at {milvus_server.uri} is of version N, and sparse vectors came with Milvus "
        "2.4; update it, name another server with `uri`, or leave `uri` out for a file"
    )
    token = os.environ[milvus_server.arguments["token_env"]]
    with closing(MilvusClient(milvus_server.uri, token=token, dedicated=True)) as client:
        assert not [name for name in client.list_collections() if engine.compiled.collection in name]


def test_changes_of_the_corpus(place: Workplace) -> None:
    with place.load("quickstart", STORES["milvus"], *routes("sparse")):
        pass
    (place.docs / "cranes.txt").unlink()
    place.write(office="The harbour office opens at nine. It has a crane of forty tonnes.")
    with place.load("quickstart", STORES["milvus"], *routes("sparse")) as app:
        assert app.corpus.embedded == 1
        found = answers(app, QUESTIONS)
        assert app.retrieve("crane tonnes")[0].text == "It has a crane of forty tonnes."
    rows, twin, _ = place.twin("quickstart", STORES["milvus"], *routes("sparse"), questions=QUESTIONS)
    assert twin == found
    assert stored(place.state).texts == rows.texts


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("map", "the map store holds dense vectors only, and embedding 'sparse' is sparse$"),
        ("chroma", "Chroma store '.*': holds dense vectors only, and embedding 'sparse' is sparse$"),
    ],
)
def test_a_plugin_with_sparse_vectors_on_a_store_of_dense_ones(place: Workplace, store: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        place.load("quickstart", f"store_conf={store}", *routes("sparse")).start()
