"""The compiled plan: plain data, compared by equality."""

from __future__ import annotations

import dataclasses
import pickle
from functools import cache
from pathlib import Path

import pytest

from confrag.config import load
from confrag.plan import Plan, compile_plan
from confrag.plan.model import (
    AnswerPlan,
    CorpusPlan,
    GroupPlan,
    ModelPlan,
    Params,
    RetrieverPlan,
    StepPlan,
    StorePlan,
    freeze,
    thaw,
)


def planned(preset: str, *overrides: str) -> Plan:
    composed, config = load(preset, overrides)
    return compile_plan(config, composed.name)


@cache
def as_it_is() -> Plan:
    return planned("multi_route")


EMBED = Params(
    {
        "model": "bge-small-en",
        "threads": 0,
        "query_prefix": "",
        "passage_prefix": "",
        "pooling": "cls",
        "max_length": 512,
        "context": 2048,
    }
)


def test_a_whole_plan() -> None:
    """`hybrid`, spelled out: two routes over one group, fused, and a store under `state_dir`."""
    user = "{{ context }} {{ question }}"
    plan = planned("hybrid", "llm=extractive", "prompts.answer.system=S", f"prompts.answer.user='{user}'")
    assert plan == Plan(
        name="hybrid",
        collection=plan.collection,
        state_dir=".confrag",
        embedding_cache_mb=4096,
        lock_timeout_s=60.0,
        corpus=CorpusPlan(("pkg://confrag.sample",), ("**/*",), (), Params(), "report"),
        store=StorePlan(
            "milvus",
            Params(
                {
                    "index_kwargs": [
                        {
                            "index_type": "HNSW",
                            "metric_type": "COSINE",
                            "params": {"M": 16, "efConstruction": 200},
                        }
                    ]
                }
            ),
        ),
        groups=(
            GroupPlan(
                "MediumChunk",
                "root",
                "sentence_splitter",
                Params({"chunk_size": 256, "chunk_overlap": 25}),
                ("embed",),
            ),
        ),
        models=(
            ModelPlan("embed", "embed", "local", EMBED),
            ModelPlan("llm", "chat", "extractive", Params({"passages": 3, "max_chars": 600})),
        ),
        retrievers=(
            RetrieverPlan("chunk", "MediumChunk", None, 20, "cosine", "embedding", None, ("embed",), 0),
            RetrieverPlan("lexical", "MediumChunk", None, 20, "bm25", "text", None, (), 0),
        ),
        recall=StepPlan(
            "recall",
            "pipeline",
            Params(),
            (
                StepPlan(
                    "routes",
                    "parallel",
                    Params(
                        {
                            "merge": {
                                "kind": "rrf",
                                "weights": {"chunk": 1.0, "lexical": 1.0},
                                "dedupe": "node",
                                "k": 60,
                            },
                            "topk": 12,
                            "deadline_s": None,
                            "on_error": "fail",
                        }
                    ),
                    (
                        StepPlan("chunk", "retrieve", Params({"retriever": "chunk"})),
                        StepPlan("lexical", "retrieve", Params({"retriever": "lexical"})),
                    ),
                ),
            ),
        ),
        answer=AnswerPlan(
            model="llm",
            system="S",
            user=user,
            citations="number",
            no_source="Nothing in the corpus matches this question, so there is no answer to give.",
            quoted="No model was asked. The best passages are:",
            temperature=0.0,
            max_tokens=256,
            context_tokens=1024,
        ),
    )
    assert len(plan.collection) == 12
    assert int(plan.collection, 16)


@pytest.mark.parametrize("preset", ["multi_route", "map_milvus_index", "chinese"])
def test_the_same_configuration_is_the_same_plan(preset: str) -> None:
    first, second = planned(preset), planned(preset)
    assert first == second
    assert hash(first) == hash(second)
    assert pickle.loads(pickle.dumps(first)) == first


def test_a_plan_is_frozen() -> None:
    plan = planned("map")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.collection = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        plan.groups[0].params["chunk_size"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    "override",
    [
        "retrievers.chunk.topk=3",
        "retrievers.chunk.similarity_cut_off=0.5",
        "retrievers.chunk.weight=2",
        "recall.steps.routes.merge=rrf",
        "recall.steps.rerank.topk=2",
        "~recall.steps.rerank",
        "llm=extractive",
        "generation.max_tokens=10",
        "embedding_cache.max_mb=0",
        "prompts=chinese",
        "models.embed.threads=2",
        "models.embed.query_prefix='query: '",
        "models.rerank.threads=2",
        "node_groups.FineChunk.transform.chunk_size=64",
        "corpus.on_error=fail",
        "state_dir=elsewhere",
        "query=anything",
        "store_conf.kwargs.index_kwargs.search_params={ef: 64}",
    ],
)
def test_what_leaves_the_collection_as_it_is(override: str) -> None:
    assert planned("multi_route", override).collection == as_it_is().collection


@pytest.mark.parametrize(
    "override",
    [
        "store_conf=chroma",
        "store_conf=milvus_hnsw",
        "store_conf.kwargs.uri=my.db",
        "embed=e5_multilingual",
        "models.embed.passage_prefix='passage: '",
        "models.embed.max_length=128",
        "node_groups.MediumChunk.transform.chunk_size=128",
        "node_groups.sentence.parent=CoarseChunk",
        "node_groups.sentence.transform.keep_separator=true",
        "retrievers.sentence.group=FineChunk",
        "corpus.path=.",
        "corpus.readers={log: text}",
    ],
)
def test_what_makes_another_collection(override: str) -> None:
    assert planned("multi_route", override).collection != as_it_is().collection


def test_a_relative_corpus_belongs_to_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collections = set()
    for name in ("a", "b"):
        (tmp_path / name / "docs").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        collections.add(planned("map", "corpus.path=docs").collection)
        collections.add(planned("map", f"corpus.path={tmp_path / name / 'docs'}").collection)
    assert len(collections) == 2


def test_what_nobody_uses_is_dropped() -> None:
    plan = planned("quickstart", "+models.spare={role: embed, kind: local, model: bge-small-en}", *_by("embed"))
    assert [model.name for model in plan.models] == ["embed", "llm"]
    assert [group.name for group in plan.groups] == ["MediumChunk"]
    assert [model.name for model in planned("map", "recall=lexical").models] == ["llm"]
    assert planned("map", "recall=lexical").groups[0].embed == ()


def _by(*keys: str) -> tuple[str, ...]:
    return (f"retrievers.chunk.embed_keys=[{','.join(keys)}]",)


def test_parents_come_first() -> None:
    plan = planned(
        "multi_route",
        "node_groups={page: {transform: {kind: split, separator: x}}}",
        "node_groups.MediumChunk.parent=FineChunk",
        "node_groups.FineChunk.parent=page",
    )
    assert [(group.name, group.parent) for group in plan.groups] == [
        ("page", "root"),
        ("FineChunk", "page"),
        ("MediumChunk", "FineChunk"),
        ("sentence", "MediumChunk"),
    ]


def test_a_group_that_is_only_returned_needs_no_embedding() -> None:
    plan = planned("multi_route", "~retrievers.chunk", "~recall.steps.routes.branches.chunk")
    assert [(group.name, group.embed) for group in plan.groups] == [("MediumChunk", ()), ("sentence", ("embed",))]


def test_a_group_is_indexed_with_what_its_retrievers_use() -> None:
    second = "+models.second={role: embed, kind: local, model: bge-small-en}"
    plan = planned("quickstart", second, *_by("second", "embed"))
    assert plan.groups[0].embed == ("second", "embed")
    assert plan.retriever("chunk").embed_keys == ("second", "embed")
    assert [model.name for model in plan.models] == ["second", "embed", "llm"]
    wider = planned("quickstart", second, *_by("embed"), "node_groups.MediumChunk.embed=[embed,second]")
    assert wider.groups[0].embed == ("embed", "second")
    assert wider.retriever("chunk").embed_keys == ("embed",)


def test_a_target_that_is_the_group_itself_is_none() -> None:
    assert planned("quickstart", "retrievers.chunk.target=MediumChunk").retriever("chunk").target is None
    assert planned("multi_route").retriever("sentence").target == "MediumChunk"


MILVUS = {"uri": "m.db", "index_kwargs": [{"index_type": "HNSW", "metric_type": "COSINE"}]}
KWARGS = "{'uri': 'm.db', 'index_kwargs': {'index_type': 'HNSW'}}"
INDEX = f"{{'smart_embedding_index': {{'backend': 'milvus', 'kwargs': {KWARGS}}}}}"


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ("{'type': 'map'}", StorePlan("map", Params())),
        ("{'type': 'map', 'kwargs': {'uri': 's.db'}}", StorePlan("map", Params({"uri": "s.db"}))),
        ("{'type': 'chroma', 'kwargs': {'dir': 'd'}}", StorePlan("chroma", Params({"dir": "d"}))),
        (
            "{'type': 'chroma', 'kwargs': {'dir': 'd', 'index_kwargs': {'hnsw': {'space': 'ip'}}}}",
            StorePlan("chroma", Params({"dir": "d", "index_kwargs": {"hnsw": {"space": "ip"}}})),
        ),
        (
            "{'type': 'milvus', 'kwargs': {'uri': 'm.db', 'index_kwargs': {'index_type': 'hnsw'}}}",
            StorePlan("milvus", Params(MILVUS)),
        ),
        (f"{{'type': 'map', 'indices': {INDEX}}}", StorePlan("milvus", Params(MILVUS))),
        (
            f"{{'type': 'map', 'kwargs': {{'uri': 's.db'}}, 'indices': {INDEX}}}",
            StorePlan("milvus", Params({**MILVUS, "segments": "s.db"})),
        ),
        (f"{{'type': 'chroma', 'kwargs': {{'dir': 'd'}}, 'indices': {INDEX}}}", StorePlan("milvus", Params(MILVUS))),
        (
            "{'segment_store': {'type': 'map', 'kwargs': {'uri': 's.db'}}, "
            "'vector_store': {'type': 'milvus', 'kwargs': {'uri': 'm.db', 'index_kwargs': {'index_type': 'HNSW'}}}}",
            StorePlan("milvus", Params({**MILVUS, "segments": "s.db"})),
        ),
        (
            "{'segment_store': {'type': 'map'}, 'vector_store': {'type': 'chroma', 'kwargs': {'dir': 'd'}}}",
            StorePlan("chroma", Params({"dir": "d"})),
        ),
    ],
)
def test_a_store_of_the_tutorial(conf: str, expected: StorePlan) -> None:
    assert planned("quickstart", f"store_conf={conf}").store == expected


def test_no_store_is_the_map_store() -> None:
    assert planned("quickstart").store == planned("map").store
    assert planned("quickstart").collection == planned("map").collection


def test_a_configuration_without_a_preset() -> None:
    assert planned("map", "~conf", "store_conf=map").name == "custom"


def test_parameters_are_immutable_and_equal_by_contents() -> None:
    values = {"b": [1, {"c": [2]}], "a": "x"}
    params = Params(values)
    assert params == Params({"a": "x", "b": (1, {"c": (2,)})})
    assert hash(params) == hash(Params(dict(reversed(values.items()))))
    assert params["b"] == (1, Params({"c": (2,)}))
    assert params.thaw() == values
    assert thaw(freeze(values)) == values
    assert repr(Params({"a": 1})) == "Params({'a': 1})"
