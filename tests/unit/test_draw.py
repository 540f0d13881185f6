"""The plan as text, Mermaid and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from confrag.config import load
from confrag.plan import Plan, compile_plan, describe, draw


def planned(preset: str, *overrides: str) -> Plan:
    composed, config = load(preset, ["llm=extractive", *overrides])
    return compile_plan(config, composed.name)


MULTI_ROUTE = planned("multi_route", "corpus.path=pkg://confrag.sample")


def test_text() -> None:
    assert draw(MULTI_ROUTE, "text").splitlines() == [
        f"multi_route (collection {MULTI_ROUTE.collection})",
        "corpus: pkg://confrag.sample",
        "store: milvus(index_kwargs=[{'index_type': 'FLAT', 'metric_type': 'COSINE'}])",
        "node groups",
        "└─ MediumChunk: sentence_splitter(chunk_size=256, chunk_overlap=25) [embed]",
        r"   └─ sentence: split(separator='(?<=[.!?])\\s+|(?<=[。！？；])|\\n+', "
        "regex=True, keep_separator=False) [embed]",
        "models",
        "├─ embed: embed, local, bge-small-en",
        "├─ rerank: rerank, local, ms-marco-minilm",
        "└─ llm: chat, extractive",
        "recall",
        "├─ routes: parallel, merged by concat",
        "│  ├─ chunk: MediumChunk by cosine [embed], top 6",
        "│  └─ sentence: sentence -> MediumChunk by cosine [embed], top 6",
        "└─ rerank: rerank(model='rerank', topk=6)",
        "answer",
        "├─ context: at most 1024 tokens, numbered sources",
        "└─ llm: temperature 0.0, at most 256 tokens",
    ]


EDGES = {
    ("corpus", "group.MediumChunk"),
    ("group.MediumChunk", "group.sentence"),
    ("query", "recall.routes.chunk"),
    ("group.MediumChunk", "recall.routes.chunk"),
    ("query", "recall.routes.sentence"),
    ("group.sentence", "recall.routes.sentence"),
    ("recall.routes.chunk", "recall.routes"),
    ("recall.routes.sentence", "recall.routes"),
    ("recall.routes", "recall.rerank"),
    ("recall.rerank", "context"),
    ("context", "llm"),
    ("llm", "answer"),
}


def test_json() -> None:
    data = json.loads(draw(MULTI_ROUTE, "json"))
    assert data == describe(MULTI_ROUTE)
    assert {(edge["source"], edge["target"]) for edge in data["edges"]} == EDGES
    kinds = {node["id"]: node["kind"] for node in data["nodes"]}
    assert kinds["recall.routes"] == "merge"
    assert kinds["recall.rerank"] == "rerank"
    assert kinds["recall.routes.sentence"] == "retrieve"
    assert set(kinds) == {end for edge in EDGES for end in edge}
    assert data["collection"] == MULTI_ROUTE.collection
    assert data["plan"]["retrievers"][1]["target"] == "MediumChunk"
    assert data["plan"]["groups"][0]["params"] == {"chunk_size": 256, "chunk_overlap": 25}


def test_mermaid() -> None:
    lines = draw(MULTI_ROUTE, "mermaid").splitlines()
    assert lines[0] == "flowchart TD"
    labels = dict(match.groups() for line in lines if (match := re.fullmatch(r'    (n\d+)\["([^"]*)"\]', line)))
    edges = [match.groups() for line in lines if (match := re.fullmatch(r"    (n\d+) --> (n\d+)", line))]
    assert len(lines) == 1 + len(labels) + len(edges)
    ids = [node["id"] for node in describe(MULTI_ROUTE)["nodes"]]
    named = dict(zip(labels, ids, strict=True))
    assert {(named[source], named[target]) for source, target in edges} == EDGES
    assert labels["n0"] == "corpus: pkg://confrag.sample"
    assert "sentence: sentence -&gt; MediumChunk by cosine [embed], top 6" in labels.values()


def test_marks_in_labels_are_escaped() -> None:
    plan = planned("map", """node_groups.MediumChunk.transform={kind: split, separator: '"<&>]\\n#1;'}""")
    (line,) = [line for line in draw(plan, "mermaid").splitlines() if "MediumChunk: split" in line]
    assert "separator='&quot;&lt;&amp;&gt;]" in line
    assert "#35;1;" in line
    assert line.count('"') == 2
    assert json.loads(draw(plan, "json"))["plan"]["groups"][0]["params"]["separator"] == '"<&>]\\n#1;'


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["recall=hybrid"], "└─ routes: parallel, merged by rrf(k=60), top 12"),
        (["retrievers.chunk.similarity_cut_off=0.5"], "└─ chunk: MediumChunk by cosine [embed], top 6, at least 0.5"),
        (["recall=lexical"], "└─ lexical: MediumChunk by bm25, top 6"),
        (["store_conf=map"], "store: map"),
        (["corpus.path=[a.txt,b.txt]"], "corpus: a.txt, b.txt"),
    ],
)
def test_lines(overrides: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    assert expected in draw(planned("map", *overrides), "text").splitlines()


def test_a_recall_that_is_one_search() -> None:
    plan = planned("map", "recall={kind: retrieve, retriever: chunk}", "~recall.steps")
    assert "└─ chunk: MediumChunk by cosine [embed], top 6" in draw(plan, "text").splitlines()
    assert ("recall", "context") in {(edge["source"], edge["target"]) for edge in describe(plan)["edges"]}


def test_a_cache_stands_before_what_it_stands_for() -> None:
    plan = planned("rag_final")
    assert "└─ if the question is known: what is retrieved from memory" in draw(plan, "text")
    edges = {(edge["source"], edge["target"]) for edge in describe(plan)["edges"]}
    assert {("query", "cache"), ("cache", "context")} <= edges
    near = planned("map", "cache=semantic")
    assert "if the question is known or near (at least 0.95 by embed): the answer from memory" in draw(near, "text")
    assert {"source": "cache", "target": "answer"} in describe(near)["edges"]
