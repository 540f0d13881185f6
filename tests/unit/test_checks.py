"""References between the parts of a configuration: every name that is used must exist, and be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from confrag.config import load
from confrag.errors import ConfigError, UserError

GROUPS = "CoarseChunk, MediumChunk, FineChunk, sentence"
SPLIT = "transform: {kind: split, separator: x}"


def faults(*overrides: str, conf: str = "multi_route") -> list[str]:
    """The faults of a preset with overrides."""
    with pytest.raises(ConfigError) as caught:
        load(conf, overrides)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "retrievers.sentence.group=sentnce",
            f"retrievers.sentence.group = 'sentnce': there is no node group of this name; known: {GROUPS}. "
            "Did you mean 'sentence'?",
        ),
        (
            "retrievers.sentence.target=Medium",
            f"retrievers.sentence.target = 'Medium': there is no node group of this name; known: {GROUPS}. "
            "Did you mean 'MediumChunk'?",
        ),
        (
            "node_groups.sentence.parent=Chunks",
            f"node_groups.sentence.parent = 'Chunks': there is no node group of this name; known: root, {GROUPS}. "
            "Did you mean 'FineChunk'?",
        ),
        (
            "node_groups.MediumChunk.parent=sentence",
            "node_groups.MediumChunk.parent = 'sentence': a cycle: MediumChunk -> sentence -> MediumChunk",
        ),
        (
            "node_groups.sentence.parent=sentence",
            "node_groups.sentence.parent = 'sentence': a cycle: sentence -> sentence",
        ),
        (
            f"node_groups.root={{{SPLIT}}}",
            "node_groups.root = 'root': 'root' is the name of the whole documents; choose another",
        ),
        (
            "node_groups.sentence.embed=[bge]",
            "node_groups.sentence.embed = 'bge': there is no embedding model of this name; known: embed",
        ),
        (
            "retrievers.chunk.embed_keys=[embedd]",
            "retrievers.chunk.embed_keys = 'embedd': there is no embedding model of this name; known: embed. "
            "Did you mean 'embed'?",
        ),
        (
            "+models.second={role: embed, kind: local, model: bge-small-en}",
            "retrievers.chunk.embed_keys: must name the embedding to search by; there are several: embed, second",
        ),
        ("~models.embed", "retrievers.chunk.embed_keys: there is no model with the role 'embed' to search by"),
        (
            "retrievers.chunk.index=smart_embedding_index",
            "retrievers.chunk.index = 'smart_embedding_index': the store does not carry this index; "
            "declare store_conf.indices.smart_embedding_index (as in store_conf=map_milvus_index)",
        ),
        (
            "recall.steps.routes.branches.chunk.retriever=chunks",
            "recall.steps.routes.branches.chunk.retriever = 'chunks': there is no retriever of this name; "
            "known: chunk, sentence. Did you mean 'chunk'?",
        ),
        (
            "~recall.steps.routes.branches.sentence",
            "retrievers.sentence: no step of `recall` uses this retriever; remove it, or add a step",
        ),
        (
            "recall.steps.rerank.model=reranker",
            "recall.steps.rerank.model = 'reranker': there is no model with the role 'rerank' of this name; "
            "known: rerank. Did you mean 'rerank'?",
        ),
        (
            "generation.model=embed",
            "generation.model = 'embed': there is no model with the role 'chat' of this name; known: llm",
        ),
        (
            "models.embed.model=bge-smal-en",
            "models.embed.model = 'bge-smal-en': no local embed model is called 'bge-smal-en'. "
            "Did you mean 'bge-small-en'? The catalogue has: bge-small-en, e5-small-multilingual.",
        ),
        (
            "models.llm.model=bge-small-en",
            "models.llm.model = 'bge-small-en': 'bge-small-en' is a local embed model, not a local chat model. "
            "The catalogue has: smollm2-135m.",
        ),
        ("models.llm.model=no/such.gguf", "models.llm.model = 'no/such.gguf': there is no such file or folder"),
        (
            "store_conf.kwargs.index_kwargs.index_type=DISKANN",
            "store_conf.kwargs.index_kwargs.index_type = 'DISKANN': a Milvus file has FLAT, IVF_FLAT, IVF_SQ8, HNSW, "
            "HNSW_SQ, AUTOINDEX; other types need a Milvus server",
        ),
        (
            "store_conf.kwargs.index_kwargs.index_type=HNWS",
            "store_conf.kwargs.index_kwargs.index_type = 'HNWS': a Milvus file has FLAT, IVF_FLAT, IVF_SQ8, HNSW, "
            "HNSW_SQ, AUTOINDEX; other types need a Milvus server. Did you mean 'HNSW'?",
        ),
        (
            "store_conf.kwargs.index_kwargs.embed_key=dense",
            "store_conf.kwargs.index_kwargs.embed_key = 'dense': there is no embedding model of this name; "
            "known: embed",
        ),
        (
            "store_conf.kwargs.uri='http://localhost:19530'",
            "store_conf.kwargs.uri = 'http://localhost:19530': milvus servers are not supported yet; name a local path",
        ),
        ("corpus.path=no/such/place", "corpus.path = 'no/such/place': there is no such file or folder"),
        (
            "corpus.readers={log: txet}",
            "corpus.readers.log = 'txet': there is no reader of this name; known: csv, docx, epub, html, json, jsonl, "
            "markdown, pdf, pptx, text, xlsx. Did you mean 'text'?",
        ),
        ("queries_file=no.txt", "queries_file = 'no.txt': there is no such file"),
        (
            "prompts.answer.user='{context}'",
            "prompts.answer.user = '{context}': has no {question}, so the model would not see it",
        ),
        (
            "prompts.answer.user='{question}'",
            "prompts.answer.user = '{question}': has no {context}, so the model would not see it",
        ),
    ],
)
def test_a_reference_that_leads_nowhere(override: str, expected: str) -> None:
    assert expected in faults(override)


def test_each_reference_to_a_missing_group_is_named() -> None:
    ending = "CoarseChunk, FineChunk, sentence. Did you mean 'FineChunk'?"
    assert faults("~node_groups.MediumChunk") == [
        f"node_groups.sentence.parent = 'MediumChunk': there is no node group of this name; known: root, {ending}",
        f"retrievers.chunk.group = 'MediumChunk': there is no node group of this name; known: {ending}",
        f"retrievers.sentence.target = 'MediumChunk': there is no node group of this name; known: {ending}",
    ]


def test_each_index_of_a_list_is_for_an_embedding() -> None:
    conf = {"type": "milvus", "kwargs": {"index_kwargs": [{"index_type": "FLAT"}, {"index_type": "HNSW"}]}}
    path, message = "store_conf.kwargs.index_kwargs", "each index of a list names its own embedding"
    assert faults(f"store_conf={conf!r}", conf="quickstart") == [
        f"{path}.0.embed_key = None: {message}",
        f"{path}.1.embed_key = None: {message}",
    ]


def test_a_longer_cycle_is_named_once() -> None:
    groups = {"a": "c", "b": "a", "c": "b", "d": "a"}
    added = ", ".join(f"{name}: {{parent: {parent}, {SPLIT}}}" for name, parent in groups.items())
    assert faults(f"node_groups={{{added}}}") == ["node_groups.a.parent = 'c': a cycle: a -> c -> b -> a"]


def test_an_embedding_that_the_group_is_not_indexed_with() -> None:
    second = "+models.second={role: embed, kind: local, model: bge-small-en}"
    messages = faults(
        second,
        "node_groups.MediumChunk.embed=[second]",
        "retrievers.chunk.embed_keys=[embed]",
        "retrievers.sentence.embed_keys=[embed]",
    )
    assert messages == ["retrievers.chunk.embed_keys = 'embed': the node group is not indexed with this embedding"]


def test_a_group_without_embeddings_cannot_be_searched_by_one() -> None:
    assert faults("node_groups.MediumChunk.embed=[]") == [
        "retrievers.chunk.embed_keys = 'embed': the node group is not indexed with this embedding"
    ]


def test_a_group_that_no_one_searches_needs_no_embedding() -> None:
    load("multi_route", ["node_groups.FineChunk.embed=[]"])


def test_words_need_no_vectors() -> None:
    messages = faults(
        "retrievers.lexical.embed_keys=[embed]",
        "retrievers.lexical.index=smart_embedding_index",
        "store_conf=map_milvus_index",
        conf="hybrid",
    )
    assert messages == [
        "retrievers.lexical.embed_keys = ['embed']: similarity bm25 compares words and uses no embedding",
        "retrievers.lexical.index = 'smart_embedding_index': an index of vectors cannot answer similarity bm25",
    ]


@pytest.mark.parametrize("overrides", [["recall=lexical"], ["recall=lexical", "~models.embed"]])
def test_words_need_no_embedding_model(overrides: list[str]) -> None:
    assert load("map", overrides)[1].retrievers["lexical"].similarity == "bm25"


def test_nothing_is_retrieved() -> None:
    messages = faults("recall={kind: rerank, model: rerank}", "~recall.steps")
    assert "recall: no step retrieves anything" in messages
    assert "recall: nothing has been retrieved before this step; put it behind a step that retrieves" in messages


def test_a_second_search_in_a_pipeline() -> None:
    messages = faults("+recall.steps.again={kind: retrieve, retriever: chunk}")
    assert messages == [
        "recall.steps.again: a step that retrieves comes first in its pipeline; put several into a `parallel`"
    ]


def test_a_missing_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    override = "models.llm.api_key_env=NO_SUCH_KEY"
    assert faults(override, conf="openai_compatible") == [
        "models.llm.api_key_env = 'NO_SUCH_KEY': the environment variable NO_SUCH_KEY is not set"
    ]
    monkeypatch.setenv("NO_SUCH_KEY", "there")
    load("openai_compatible", [override])


def test_a_key_in_place_of_its_variables_name() -> None:
    message = faults("models.llm.api_key_env=sk-abc", conf="openai_compatible")[0]
    assert message.startswith("models.llm.api_key_env = 'sk-abc': must match pattern")


def test_a_path_close_to_one_that_exists(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    assert faults(f"corpus.path={tmp_path}/document") == [
        f"corpus.path = {str(tmp_path / 'document')!r}: there is no such file or folder. Did you mean 'documents'?"
    ]


@pytest.mark.parametrize("path", ["~nobody-at-all/x", "x" * 199, "a/" * 99 + "a"])
def test_a_path_that_can_be_none(path: str) -> None:
    assert faults(f"corpus.path='{path}'")[0].endswith("there is no such file or folder")


def test_a_file_where_state_has_to_go(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert faults(f"state_dir={tmp_path}/file/state") == [
        f"state_dir = '{tmp_path}/file/state': {tmp_path}/file is a file, so that no folder can be made there"
    ]
    (message,) = faults("state_dir=~nobody-at-all/x")
    assert message.startswith("state_dir = '~nobody-at-all/x': cannot be the name of a folder (")


def test_ones_own_model_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (tmp_path / "model.gguf", "~/model.gguf"):
        load("map", [f"models.llm.model={place}"])


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"type": "milvus", "kwargs": {"index_kwargs": {"index_type": "NOPE"}}}, "kwargs"),
        (
            {
                "type": "map",
                "indices": {
                    "smart_embedding_index": {"backend": "milvus", "kwargs": {"index_kwargs": {"index_type": "NOPE"}}}
                },
            },
            "indices.smart_embedding_index.kwargs",
        ),
        (
            {
                "segment_store": {"type": "map"},
                "vector_store": {"type": "milvus", "kwargs": {"index_kwargs": {"index_type": "NOPE"}}},
            },
            "vector_store.kwargs",
        ),
    ],
)
def test_an_index_is_checked_wherever_it_is_declared(parts: dict[str, Any], place: str) -> None:
    (message,) = faults(f"store_conf={parts!r}", conf="quickstart")
    assert message.startswith(f"store_conf.{place}.index_kwargs.index_type = 'NOPE': a Milvus file has")


def test_paths_carry_no_kinds() -> None:
    messages = faults(
        "recall.steps.routes.branches.chunk.retrieverr=x",
        "node_groups.sentence.transform.regexp=true",
        "models.llm.passages=3",
        "store_conf.kwargs.index_kwargs.index_tpye=FLAT",
    )
    assert [message.partition(" = ")[0] for message in messages] == [
        "store_conf.kwargs.index_kwargs.index_tpye",
        "node_groups.sentence.transform.regexp",
        "recall.steps.routes.branches.chunk.retrieverr",
        "models.llm.passages",
    ]


def test_python_is_told_the_same() -> None:
    import confrag

    with pytest.raises(UserError, match=r"retrievers\.chunk\.topkk = 3: unknown key"):
        confrag.load("map", ["retrievers.chunk.topkk=3"])
