"""Sparse and dense embeddings are told apart before anything is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from confrag.config import load
from confrag.errors import ConfigError
from confrag.plan import compile_plan

FILE = (
    "A Milvus Lite file has for floating vectors FLAT, IVF_FLAT, IVF_SQ8, HNSW, HNSW_SQ, AUTOINDEX "
    "(metric COSINE, IP, L2); for sparse vectors SPARSE_INVERTED_INDEX (metric IP)"
)
ELSEWHERE = "take Milvus (store_conf=milvus_hybrid), or declare store_conf.indices.smart_embedding_index"
SMART = "indices: {smart_embedding_index: {backend: milvus, kwargs: {}}}"


THREE_ROUTES = ("embed=bge_small_en_splade", "recall=hybrid_sparse")


def faults(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load("quickstart", overrides)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["store_conf=map"],
            "store_conf.type = 'map': the map store holds dense vectors only, and the embedding 'sparse' gives sparse "
            f"ones; {ELSEWHERE}",
        ),
        (
            ["store_conf=chroma"],
            "store_conf.type = 'chroma': Chroma holds dense vectors only, and the embedding 'sparse' gives sparse "
            f"ones; {ELSEWHERE}",
        ),
        (
            ["store_conf={segment_store: {type: map}, vector_store: {type: chroma}}"],
            "store_conf.vector_store.type = 'chroma': Chroma holds dense vectors only, and the embedding 'sparse' "
            f"gives sparse ones; {ELSEWHERE}",
        ),
        (
            ["retrievers.chunk.embed_keys=[embed,sparse]"],
            "retrievers.chunk.embed_keys = ['embed', 'sparse']: 'sparse' gives sparse vectors, 'embed' dense ones, and "
            "their scores cannot be compared; make two retrievers, and fuse them in a `parallel` (as in "
            "recall=hybrid_sparse)",
        ),
        (
            ["store_conf.kwargs.index_kwargs.1.index_type=FLAT"],
            "store_conf.kwargs.index_kwargs.1.index_type = 'FLAT': an index of floating vectors, and the embedding "
            f"gives sparse ones. {FILE}",
        ),
        (
            ["store_conf.kwargs.index_kwargs.0.index_type=SPARSE_INVERTED_INDEX"],
            "store_conf.kwargs.index_kwargs.0.index_type = 'SPARSE_INVERTED_INDEX': an index of sparse vectors, and "
            f"the embedding gives floating ones. {FILE}",
        ),
        (
            ["store_conf.kwargs.index_kwargs.1.metric_type=COSINE"],
            "store_conf.kwargs.index_kwargs.1.metric_type = 'COSINE': SPARSE_INVERTED_INDEX does not compare by this "
            f"metric. {FILE}",
        ),
        (
            ["recall.steps.varied={kind: mmr, model: sparse}"],
            "recall.steps.varied.model = 'sparse': mmr compares dense vectors, and this embedding gives sparse ones; "
            "name another embedding model",
        ),
    ],
)
def test_a_place_for_each_sort(overrides: list[str], expected: str) -> None:
    # A number among the names of an override means an entry of a list.
    if overrides[0].startswith("store_conf.kwargs.index_kwargs."):
        path, _, value = overrides[0].partition("=")
        number, key = path.split(".")[-2:]
        entries = [
            {"embed_key": "embed", "index_type": "HNSW", "metric_type": "COSINE"},
            {"embed_key": "sparse", "index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP"},
        ]
        entries[int(number)][key] = value
        overrides = [f"store_conf.kwargs.index_kwargs={entries!r}"]
    store = [] if overrides[0].startswith("store_conf=") else ["store_conf=milvus_hybrid"]
    assert faults(*THREE_ROUTES, *store, *overrides) == [expected]


def test_the_only_embedding_may_be_sparse() -> None:
    assert faults("models.embed.model=splade-tiny-en") == [
        "store_conf.type = 'map': the map store holds dense vectors only, and the embedding 'embed' gives sparse ones; "
        f"{ELSEWHERE}"
    ]
    one = "store_conf.kwargs.index_kwargs={index_type: SPARSE_INVERTED_INDEX, metric_type: IP}"
    _, config = load("milvus_flat", ["models.embed.model=splade-tiny-en", one])
    assert compile_plan(config).models[0].params["model"] == "splade-tiny-en"


@pytest.mark.parametrize(
    "override",
    [
        f"store_conf={{type: map, {SMART}}}",
        f"store_conf={{type: chroma, {SMART}}}",
        "store_conf={segment_store: {type: map}, vector_store: {type: milvus}}",
        "store_conf=milvus_hnsw",
        "store_conf={type: milvus, kwargs: {index_kwargs: {index_type: SPARSE_INVERTED_INDEX, metric_type: IP}}}",
    ],
)
def test_stores_with_a_place_for_both(override: str) -> None:
    _, config = load("quickstart", [*THREE_ROUTES, override])
    assert {model.name for model in compile_plan(config).models} >= {"embed", "sparse"}


def test_no_graph_of_sparse_vectors() -> None:
    index = "indices={near: {kind: hnsw, group: MediumChunk, embed_key: sparse}}"
    assert faults(*THREE_ROUTES, "store_conf=milvus_hybrid", index, "retrievers.sparse.index=near") == [
        "indices.near.embed_key = 'sparse': an index of the kind hnsw compares dense vectors, and this embedding gives "
        "sparse ones; name another embedding model"
    ]


def test_a_sparse_embedding_that_nobody_uses_needs_no_place() -> None:
    load("map", ["embed=bge_small_en_splade", "retrievers.chunk.embed_keys=[embed]"])


def test_the_preset_searches_by_all_three() -> None:
    _, config = load("hybrid_sparse", [])
    plan = compile_plan(config)
    assert {r.name: r.embed_keys for r in plan.retrievers} == {
        "chunk": ("embed",),
        "lexical": (),
        "sparse": ("sparse",),
    }
    assert [set(group.embed) for group in plan.groups] == [{"embed", "sparse"}]


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from confrag.config import load; from confrag.errors import ConfigError\n"
        "try: load('hybrid_sparse', ['store_conf=map'])\n"
        "except ConfigError as error: print(len(error.problems))\n"
        "print(sorted({'numpy', 'scipy', 'tokenizers', 'lazyllm', 'pymilvus'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "1\n[]\n"
