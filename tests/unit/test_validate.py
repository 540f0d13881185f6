"""Every fault of a configuration at once: where it is, what is allowed, what was probably meant."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.config import Composed, Config, compose, load, validate
from confrag.errors import ConfigError, Problem, UserError
from confrag.plan import compile_plan
from confrag.schema.models import MODELS
from confrag.schema.store import ChromaStoreSpec, MapStoreSpec, MilvusStoreSpec, SplitStoreSpec

WritePreset = Callable[[str | bytes], Path]

MULTI_ROUTE = compose(["conf=multi_route"]).data
DELETED = object()
CONFIG_KEYS = ", ".join(Config.model_fields)


def changed(data: dict[str, Any], **changes: object) -> dict[str, Any]:
    """A copy of a configuration with values put at paths (``__`` for a dot)."""
    result = copy.deepcopy(data)
    for path, value in changes.items():
        put(result, path.split("__"), value)
    return result


def put(data: Any, path: list[Any], value: object) -> None:
    for key in path[:-1]:
        data = data[key]
    if value is DELETED:
        del data[path[-1]]
    else:
        data[path[-1]] = value


def problems(data: dict[str, Any], *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(Composed("test", data, overrides=overrides))
    return [str(problem) for problem in caught.value.problems]


LOCAL_KEYS = "role, kind, price, model, threads, query_prefix, passage_prefix, pooling, max_length, context"
RETRIEVER_KEYS = (
    "group, target, topk, similarity, similarity_cut_off, index, embed_keys, filters, window, weight, priority"
)


def test_a_group_is_named_where_it_was_meant() -> None:
    composed = compose(["lmm=extractive", "++embed.model=x"])
    with pytest.raises(ConfigError) as caught:
        validate(composed)
    assert [str(problem) for problem in caught.value.problems] == [
        f"lmm = 'extractive': unknown key; known here: {CONFIG_KEYS}. Did you mean 'llm'?",
        "embed = {'model': 'x'}: is a group and no key: embed=OPTION chooses; which keys an option sets, "
        "'confrag show embed=OPTION where=true' says",
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "retrievers__chunk__topkk",
            3,
            f"retrievers.chunk.topkk = 3: unknown key; known here: {RETRIEVER_KEYS}. Did you mean 'topk'?",
        ),
        ("corpos", {}, f"corpos = {{}}: unknown key; known here: {CONFIG_KEYS}. Did you mean 'corpus'?"),
        ("zzz", None, f"zzz = None: unknown key; known here: {CONFIG_KEYS}"),
        (
            "models__embed__modle",
            "x",
            f"models.embed.modle = 'x': unknown key; known here: {LOCAL_KEYS}. Did you mean 'model'?",
        ),
        (
            "node_groups__sentence__transform__seperator",
            ".",
            "node_groups.sentence.transform.seperator = '.': unknown key; "
            "known here: kind, separator, regex, keep_separator. Did you mean 'separator'?",
        ),
        (
            "recall__steps__routes__branches__chunk__retreiver",
            "chunk",
            "recall.steps.routes.branches.chunk.retreiver = 'chunk': unknown key; known here: kind, retriever. "
            "Did you mean 'retriever'?",
        ),
        (
            "store_conf__kwargs__index_kwargs__metric",
            "IP",
            "store_conf.kwargs.index_kwargs.metric = 'IP': unknown key; "
            "known here: embed_key, index_type, metric_type, params, search_params. Did you mean 'metric_type'?",
        ),
        ("corpus__path", DELETED, "corpus.path: required, and missing"),
        ("prompts", DELETED, "prompts: required, and missing"),
        ("models__embed__kind", DELETED, "models.embed.kind: required, and missing"),
        (
            "models__embed__kind",
            "lokal",
            f"models.embed.kind = 'lokal': must be one of: {', '.join(MODELS.names)}. Did you mean 'local'?",
        ),
        (
            "store_conf__type",
            "milvsu",
            "store_conf.type = 'milvsu': must be one of: map, chroma, milvus. Did you mean 'milvus'?",
        ),
        (
            "recall__steps__routes__merge",
            "rff",
            "recall.steps.routes.merge.kind = 'rff': must be one of: concat, rrf, weighted, priority. "
            "Did you mean 'rrf'?",
        ),
        (
            "retrievers__chunk__similarity",
            "cosin",
            "retrievers.chunk.similarity = 'cosin': must be one of: cosine, bm25, bm25_chinese. Did you mean 'cosine'?",
        ),
        ("retrievers__chunk__topk", "three", "retrievers.chunk.topk = 'three': must be a valid integer"),
        ("retrievers__chunk__topk", "3", "retrievers.chunk.topk = '3': must be a valid integer"),
        ("retrievers__chunk__topk", True, "retrievers.chunk.topk = True: must be a valid integer"),
        ("retrievers__chunk__topk", 3.5, "retrievers.chunk.topk = 3.5: must be a valid integer"),
        ("retrievers__chunk__topk", 0, "retrievers.chunk.topk = 0: must be greater than or equal to 1"),
        (
            "retrievers__chunk__topk",
            10**30,
            f"retrievers.chunk.topk = {10**30}: must be less than or equal to 10000",
        ),
        ("retrievers__chunk__topk", None, "retrievers.chunk.topk = None: must be a valid integer"),
        ("retrievers__chunk__weight", 0, "retrievers.chunk.weight = 0: must be greater than 0"),
        ("generation__temperature", float("nan"), "generation.temperature = nan: must be a finite number"),
        ("generation__temperature", float("inf"), "generation.temperature = inf: must be a finite number"),
        ("generation__temperature", 1e308, "generation.temperature = 1e+308: must be less than or equal to 2"),
        ("generation__temperature", True, "generation.temperature = True: must be a valid number"),
        ("generation__stream", 1, "generation.stream = 1: must be a valid boolean"),
        ("generation__stream", "yes", "generation.stream = 'yes': must be a valid boolean"),
        ("corpus", None, "corpus = None: must be a mapping (key: value)"),
        ("corpus", "docs", "corpus = 'docs': must be a mapping (key: value)"),
        ("corpus__include", 7, "corpus.include = 7: must be a list"),
        ("corpus__include", [""], "corpus.include.0 = '': must have at least 1 character"),
        ("state_dir", b"x", "state_dir = b'x': must be a valid string"),
        ("state_dir", "a\0b", r"state_dir = 'a\x00b': must match pattern '^[^\x00]*$'"),
        ("node_groups", [], "node_groups = []: must be a mapping (key: value)"),
        ("retrievers", {}, "retrievers = {}: must have at least 1 item"),
        (
            "node_groups__sentence__transform__separator",
            "(",
            "node_groups.sentence.transform: separator is no regular expression: "
            "missing ), unterminated subpattern at position 0",
        ),
        (
            "node_groups__MediumChunk__transform__chunk_overlap",
            256,
            "node_groups.MediumChunk.transform: chunk_overlap (256) must be below chunk_size (256)",
        ),
        ("output", "xml", "output = 'xml': must be one of: text, json"),
        ("query", [1], "query.0 = 1: must be a valid string"),
    ],
)
def test_a_fault_of_the_schema(path: str, value: object, message: str) -> None:
    assert message in problems(changed(MULTI_ROUTE, **{path: value}))


def test_a_key_that_is_no_text() -> None:
    group = {"transform": {"kind": "split", "separator": "x"}}
    data = changed(MULTI_ROUTE, node_groups={**MULTI_ROUTE["node_groups"], 1: group})
    assert problems(data) == ["node_groups.1: the key must be a text; quote it"]


def test_everything_at_once_in_one_error() -> None:
    data = changed(
        MULTI_ROUTE,
        retrievers__chunk__topk=0,
        retrievers__sentence__group="sentences",
        models__rerank__model="ms-marco",
        corpus__path="no/such/place",
        outputs="json",
    )
    with pytest.raises(ConfigError) as caught:
        validate(Composed("mine", data))
    assert [problem.path for problem in caught.value.problems] == [
        "retrievers.chunk.topk",
        "outputs",
        "corpus.path",
        "retrievers.sentence.group",
        "models.rerank.model",
    ]
    lines = str(caught.value).splitlines()
    assert lines[0] == "configuration 'mine': 5 errors"
    assert lines[1] == "  retrievers.chunk.topk = 0: must be greater than or equal to 1"
    assert caught.value.exit_code == 2


def test_a_long_value_is_cut() -> None:
    (message,) = problems(changed(MULTI_ROUTE, output="x" * 500))
    assert message == f"output = '{'x' * 78}…: must be one of: text, json"


def test_nested_too_deeply() -> None:
    step: dict[str, Any] = {"kind": "retrieve", "retriever": "chunk"}
    for _ in range(300):
        step = {"kind": "pipeline", "steps": {"a": step}}
    assert "recall.steps.a.steps.a.steps: nested too deeply" in problems(changed(MULTI_ROUTE, recall=step))


def _paths(data: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        yield from _paths(child, (*path, key))


ODD: list[object] = [None, DELETED, True, -1, 10**30, float("nan"), "", "a\0b", "~nobody/x", "x" * 5000, "\ud800", b"x"]
ODD += [
    [],
    [[]],
    {},
    {1: 2},
    {None: None},
    {"": 1},
    {"kind": []},
    {"type": {}},
    {"kind": "local"},
    [{"embed_key": [1]}],
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(_paths(MULTI_ROUTE))), st.sampled_from(ODD) | st.text() | st.floats() | st.integers())
def test_no_value_anywhere_is_more_than_a_config_error(path: tuple[Any, ...], value: object) -> None:
    data = copy.deepcopy(MULTI_ROUTE)
    put(data, list(path), value)
    found: tuple[Problem, ...] = ()
    try:
        compile_plan(validate(Composed("test", data)))
    except ConfigError as error:
        found = error.problems
    assert all(problem.path and "\n" not in problem.message for problem in found)


@pytest.mark.parametrize(
    ("overrides", "kind"),
    [
        (["models.llm.kind=extractive"], "extractive"),
        (["models.llm={kind: extractive}"], "extractive"),
        (["models.llm.kind=extractive", "models.llm.passages=2"], "extractive"),
        (["models.llm.kind=openai_compatible", "models.llm.base_url=http://localhost/v1"], "openai_compatible"),
    ],
)
def test_a_kind_switched_alone(overrides: list[str], kind: str) -> None:
    assert load("quickstart", overrides)[1].models["llm"].kind == kind


def test_a_kind_switched_with_a_key_that_it_does_not_have() -> None:
    with pytest.raises(UserError) as caught:
        load("quickstart", ["models.llm.kind=extractive", "models.llm.context=512"])
    assert str(caught.value).splitlines() == [
        "configuration 'quickstart': 1 error",
        "  models.llm.context = 512: unknown key; known here: role, kind, price, passages, max_chars",
    ]


def test_a_transform_and_a_merge_rule_switched_alone() -> None:
    _, config = load("hybrid", ["node_groups.MediumChunk.transform.kind=recursive", "recall.steps.routes.merge=concat"])
    assert config.node_groups["MediumChunk"].transform.kind == "recursive"
    plan = compile_plan(config)
    assert plan.recall.children[0].params["merge"]["kind"] == "concat"


@pytest.mark.parametrize("to", ["map", "chroma", "milvus"])
@pytest.mark.parametrize("preset", ["map", "chroma", "milvus_hnsw"])
def test_a_store_switched_alone(preset: str, to: str) -> None:
    assert load(preset, [f"store_conf.type={to}"])[1].store_conf.type == to


HNSW = {"index_type": "HNSW", "metric_type": "COSINE"}
TUTORIAL: Mapping[str, tuple[dict[str, Any], type[Any], str]] = {
    "map": ({"type": "map"}, MapStoreSpec, "map"),
    "chroma": ({"type": "chroma", "kwargs": {"dir": "dbs/chroma"}}, ChromaStoreSpec, "chroma"),
    "chroma configured": (
        {
            "type": "chroma",
            "kwargs": {"dir": "d", "index_kwargs": {"hnsw": {"space": "cosine", "ef_construction": 200}}},
        },
        ChromaStoreSpec,
        "chroma",
    ),
    "milvus": ({"type": "milvus", "kwargs": {"uri": "dbs/m.db", "index_kwargs": HNSW}}, MilvusStoreSpec, "milvus"),
    "milvus with a list": (
        {"type": "milvus", "kwargs": {"uri": "m.db", "index_kwargs": [{"embed_key": "embed", **HNSW}]}},
        MilvusStoreSpec,
        "milvus",
    ),
    "milvus with parameters": (
        {
            "type": "milvus",
            "kwargs": {"uri": "m.db", "index_kwargs": {**HNSW, "params": {"M": 32, "efConstruction": 200}}},
        },
        MilvusStoreSpec,
        "milvus",
    ),
    "map with a milvus index": (
        {
            "type": "map",
            "indices": {
                "smart_embedding_index": {"backend": "milvus", "kwargs": {"uri": "m.db", "index_kwargs": HNSW}}
            },
        },
        MapStoreSpec,
        "milvus",
    ),
    "chroma with a milvus index": (
        {
            "type": "chroma",
            "kwargs": {"dir": "d"},
            "indices": {"smart_embedding_index": {"backend": "milvus", "kwargs": {"uri": "m.db"}}},
        },
        ChromaStoreSpec,
        "milvus",
    ),
    "two stores": (
        {
            "segment_store": {"type": "map", "kwargs": {"uri": "s.db"}},
            "vector_store": {"type": "milvus", "kwargs": {"uri": "m.db", "index_kwargs": HNSW}},
        },
        SplitStoreSpec,
        "milvus",
    ),
    "two stores, chroma": (
        {
            "segment_store": {"type": "map", "kwargs": {"uri": "s.db"}},
            "vector_store": {"type": "chroma", "kwargs": {"dir": "d"}},
        },
        SplitStoreSpec,
        "chroma",
    ),
}


@pytest.mark.parametrize("name", TUTORIAL)
@pytest.mark.parametrize("way", ["override", "preset", "preset over map"])
def test_a_dictionary_of_the_tutorial_as_it_is(name: str, way: str, write_preset: WritePreset) -> None:
    conf, spec, kind = TUTORIAL[name]
    if way == "override":
        _, config = load("quickstart", [f"store_conf={conf!r}"])
    else:
        defaults = "defaults:\n  - override /store_conf: map\n" if way == "preset over map" else ""
        _, config = load("mine", config_dir=write_preset(f"{defaults}store_conf: {conf!r}\n"))
    assert type(config.store_conf) is spec
    assert compile_plan(config).store.kind == kind


def test_secrets_are_never_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-value")
    composed, config = load("openai_compatible", ["models.llm.api_key_env=MY_KEY"])
    assert "secret-value" not in repr(composed) + repr(config) + repr(compile_plan(config))
