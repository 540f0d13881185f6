"""`indices` and `retrievers.*.index`: what is wrong with them, and what they are compiled to."""

from __future__ import annotations

from typing import Any

import pytest

from confrag.config import load
from confrag.errors import ConfigError
from confrag.plan import Plan, compile_plan, draw
from confrag.plan.model import IndexPlan, Params

TWO = "+models.second={role: embed, kind: local, model: e5-small-multilingual}"


def planned(*overrides: str) -> Plan:
    return compile_plan(load(None, overrides)[1])


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    return [str(problem) for problem in caught.value.problems]


def test_an_index_of_texts() -> None:
    plan = planned("conf=trie")
    params = {"words": True, "ignore_case": True, "match": "exact"}
    assert plan.indices == (IndexPlan("keyword", "trie", "keyword", None, Params(params)),)
    (retriever,) = plan.retrievers
    assert (retriever.index, retriever.similarity, retriever.mode, retriever.embed_keys) == (
        "keyword",
        None,
        "text",
        (),
    )
    assert all(group.embed == () for group in plan.groups)
    assert "embed" not in [model.name for model in plan.models]


def test_an_index_of_vectors() -> None:
    plan = planned("conf=hnsw")
    (index,) = plan.indices
    assert (index.kind, index.group, index.embed_key) == ("hnsw", "MediumChunk", "embed")
    assert dict(index.params) == {"M": 16, "ef_construction": 200, "ef": 64, "space": "cosine", "num_threads": None}
    (retriever,) = plan.retrievers
    assert (retriever.index, retriever.similarity, retriever.embed_keys) == ("chunk", "cosine", ("embed",))


def test_it_searches_the_embedding_that_it_names() -> None:
    named = planned("conf=hnsw", TWO, "indices.chunk.embed_key=second")
    assert named.indices[0].embed_key == "second"
    assert [group.embed for group in named.groups] == [("second",)]
    assert [model.name for model in named.models if model.role == "embed"] == ["second"]
    of_group = planned("conf=hnsw", TWO, "+node_groups.MediumChunk.embed=[second]")
    assert of_group.indices[0].embed_key == "second"


@pytest.mark.parametrize("override", ["indices.chunk.M=32", "indices.chunk.space=l2", "+indices.chunk.num_threads=1"])
def test_no_index_changes_what_is_stored(override: str) -> None:
    plan = planned("conf=hnsw", override)
    assert plan.indices != planned("conf=hnsw").indices
    assert plan.collection == planned("conf=hnsw").collection == planned("conf=map").collection
    assert planned("conf=trie").collection == planned("conf=linear").collection


def test_the_graph_shows_it() -> None:
    text = draw(planned("conf=hnsw"), "text")
    assert (
        "\nindices\n└─ chunk: hnsw(M=16, ef_construction=200, ef=64, space='cosine') of MediumChunk [embed]\n" in text
    )
    assert "└─ chunk: MediumChunk by cosine [embed], index chunk, top 6" in text
    text = draw(planned("conf=trie"), "text")
    assert "└─ keyword: keyword -> MediumChunk by index keyword, top 24" in text
    assert "\nindices\n" not in draw(planned("conf=map"), "text")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["conf=map", "retrievers.chunk.index=chunks", "+indices.chunk={kind: hnsw, group: MediumChunk}"],
            [
                "retrievers.chunk.index = 'chunks': there is no index of this name; known: default, "
                "smart_embedding_index, chunk. Did you mean 'chunk'?",
                "indices.chunk: no retriever uses this index; remove it, or set retrievers.NAME.index=chunk",
            ],
        ),
        (
            ["conf=hnsw", "+indices.default={kind: trie, group: sentence}"],
            [
                "indices.default = 'default': the names default and smart_embedding_index mean the store's own index; "
                "choose another"
            ],
        ),
        (
            ["conf=hnsw", "indices.chunk.group=MediumChunks"],
            [
                "retrievers.chunk.group = 'MediumChunk': index 'chunk' finds nodes of group 'MediumChunks'",
                "indices.chunk.group = 'MediumChunks': there is no node group of this name; known: CoarseChunk, "
                "MediumChunk, FineChunk, sentence. Did you mean 'MediumChunk'?",
            ],
        ),
        (
            ["conf=hnsw", "retrievers.chunk.group=FineChunk"],
            ["retrievers.chunk.group = 'FineChunk': index 'chunk' finds nodes of group 'MediumChunk'"],
        ),
        (
            ["conf=hnsw", "retrievers.chunk.similarity=bm25"],
            ["retrievers.chunk.index = 'chunk': an index of vectors cannot answer similarity bm25"],
        ),
        (
            ["conf=trie", "+retrievers.keyword.similarity=cosine", "+retrievers.keyword.embed_keys=[embed]"],
            [
                "retrievers.keyword.similarity = 'cosine': index 'keyword' (kind trie) compares texts by itself; leave "
                "it out",
                "retrievers.keyword.embed_keys = ['embed']: index 'keyword' (kind trie) compares texts by itself; "
                "leave it out",
            ],
        ),
        (
            ["conf=hnsw", TWO],
            ["indices.chunk.embed_key: must name the embedding to search; there are several: embed, second"],
        ),
        (
            ["conf=hnsw", "~models.embed"],
            ["indices.chunk.embed_key: there is no embedding to search: no model has the role 'embed'"],
        ),
        (
            ["conf=hnsw", "+indices.chunk.embed_key=embedd"],
            [
                "indices.chunk.embed_key = 'embedd': there is no embedding model of this name; known: embed. Did you "
                "mean 'embed'?"
            ],
        ),
        (
            ["conf=hnsw", TWO, "+indices.chunk.embed_key=second", "+node_groups.MediumChunk.embed=[embed]"],
            ["indices.chunk.embed_key = 'second': the node group is not indexed with this embedding"],
        ),
        (
            ["conf=hnsw", TWO, "+indices.chunk.embed_key=second", "+retrievers.chunk.embed_keys=[embed]"],
            [
                "retrievers.chunk.embed_keys = ['embed']: index 'chunk' searches the embedding 'second'; leave the key "
                "out, or name that one"
            ],
        ),
        (
            ["conf=hnsw", "indices.chunk.M=1", "indices.chunk.ef=0"],
            [
                "indices.chunk.M = 1: must be greater than or equal to 2",
                "indices.chunk.ef = 0: must be greater than or equal to 1",
            ],
        ),
        (
            ["conf=trie", "indices.keyword.kind=tree"],
            ["indices.keyword.kind = 'tree': must be one of: linear, trie, hnsw. Did you mean 'trie'?"],
        ),
    ],
)
def test_what_is_wrong_is_said(overrides: list[str], expected: list[str]) -> None:
    assert problems(*overrides) == expected


@pytest.mark.parametrize("value", [3, None, {"kind": 3}, {"kind": "trie"}, {"group": []}])
def test_nonsense_is_told_of_and_breaks_nothing(value: Any) -> None:
    assert problems("conf=map", f"+indices.odd={value}".replace("None", "null").replace("'", ""))
