"""References between the parts of a configuration: every name that is used must exist, and be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from confrag.config import load
from confrag.errors import ConfigError, UserError
from confrag.plan import compile_plan

GROUPS = "CoarseChunk, MediumChunk, FineChunk, sentence"
FILE = (
    "A Milvus Lite file has for floating vectors FLAT, IVF_FLAT, IVF_SQ8, HNSW, HNSW_SQ, AUTOINDEX "
    "(metric COSINE, IP, L2); for sparse vectors SPARSE_INVERTED_INDEX (metric IP)"
)
SERVER = (
    "A Milvus server has for floating vectors FLAT, IVF_FLAT, IVF_SQ8, IVF_PQ, GPU_IVF_FLAT, GPU_IVF_PQ, HNSW, "
    "DISKANN, AUTOINDEX (metric COSINE, IP, L2); for sparse vectors SPARSE_INVERTED_INDEX, SPARSE_WAND (metric IP); "
    "for binary vectors BIN_FLAT, BIN_IVF_FLAT (metric HAMMING, JACCARD)"
)
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
            f"retrievers.sentence.target = 'Medium': there is no node group of this name; known: root, {GROUPS}. "
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
            "Did you mean 'bge-small-en'? The catalogue has: bge-small-en, e5-small-multilingual, splade-tiny-en.",
        ),
        (
            "models.llm.model=bge-small-en",
            "models.llm.model = 'bge-small-en': 'bge-small-en' is a local embed model, not a local chat model. "
            "The catalogue has: smollm2-135m.",
        ),
        ("models.llm.model=no/such.gguf", "models.llm.model = 'no/such.gguf': there is no such file or folder"),
        (
            "store_conf.kwargs.index_kwargs.index_type=DISKANN",
            "store_conf.kwargs.index_kwargs.index_type = 'DISKANN': there is no such index here. "
            f"A Milvus server has it. {FILE}",
        ),
        (
            "store_conf.kwargs.index_kwargs.index_type=HNWS",
            "store_conf.kwargs.index_kwargs.index_type = 'HNWS': there is no such index here. Did you mean 'HNSW'? "
            f"{FILE}",
        ),
        (
            "store_conf.kwargs.index_kwargs.index_type=SPARSE_INVERTED_INDEX",
            "store_conf.kwargs.index_kwargs.index_type = 'SPARSE_INVERTED_INDEX': an index of sparse vectors, and the "
            f"embedding gives floating ones. {FILE}",
        ),
        (
            "store_conf.kwargs.index_kwargs.metric_type=JACCARD",
            f"store_conf.kwargs.index_kwargs.metric_type = 'JACCARD': FLAT does not compare by this metric. {FILE}",
        ),
        (
            "store_conf.kwargs.index_kwargs.embed_key=dense",
            "store_conf.kwargs.index_kwargs.embed_key = 'dense': there is no embedding model of this name; "
            "known: embed",
        ),
        (
            "store_conf.kwargs.token_env=MILVUS_TOKEN",
            "store_conf.kwargs.token_env = 'MILVUS_TOKEN': only a server asks for this; name one with `uri`",
        ),
        ("corpus.path=no/such/place", "corpus.path = 'no/such/place': there is no such file or folder"),
        (
            "corpus.readers={log: txet}",
            "corpus.readers.log = 'txet': there is no reader of this name; known: csv, docx, epub, html, json, jsonl, "
            "markdown, pdf, pptx, text, xlsx. Did you mean 'text'?",
        ),
        ("queries_file=no.txt", "queries_file = 'no.txt': there is no such file"),
        (
            "prompts.answer.user='{{ context }}'",
            "prompts.answer.user = '{{ context }}': has no {{ question }}, so the model would not see it",
        ),
        (
            "prompts.answer.user='{{ question }}'",
            "prompts.answer.user = '{{ question }}': has no {{ context }}, so the model would not see it",
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
        f"retrievers.sentence.target = 'MediumChunk': there is no node group of this name; known: root, {ending}",
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


def test_a_path_close_to_one_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "documents").mkdir()
    monkeypatch.chdir(tmp_path)
    assert faults("corpus.path=./document") == [
        "corpus.path = './document': there is no such file or folder. Did you mean 'documents'?"
    ]


@pytest.mark.parametrize("path", ["~nobody-at-all/x", "x" * 199, "a/" * 99 + "a"])
def test_a_path_that_can_be_none(path: str) -> None:
    assert faults(f"corpus.path='{path}'")[0].endswith("there is no such file or folder")


def test_a_file_where_state_has_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert faults("state_dir=file/state") == [
        f"state_dir = 'file/state': {tmp_path}/file is a file, so that no folder can be made there"
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
    assert message.startswith(f"store_conf.{place}.index_kwargs.index_type = 'NOPE': there is no such index here. A ")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "index_kwargs.index_type=BIN_FLAT",
            "index_kwargs.index_type = 'BIN_FLAT': an index of binary vectors, and the embedding gives floating ones. "
            f"{SERVER}",
        ),
        (
            "index_kwargs.index_type=SPARSE_WAND",
            "index_kwargs.index_type = 'SPARSE_WAND': an index of sparse vectors, and the embedding gives floating "
            f"ones. {SERVER}",
        ),
        (
            "index_kwargs.index_type=HNSW_SQ",
            f"index_kwargs.index_type = 'HNSW_SQ': there is no such index here. Did you mean 'HNSW'? {SERVER}",
        ),
        (
            "index_kwargs.metric_type=HAMMING",
            f"index_kwargs.metric_type = 'HAMMING': HNSW does not compare by this metric. {SERVER}",
        ),
        ("uri='tcp://h:1'", "uri = 'tcp://h:1': a server is named http://HOST:PORT or https://HOST:PORT"),
        ("uri='http://h:99999'", "uri = 'http://h:99999': not an address: Port out of range 0-65535"),
        ("uri='http://h:1/db'", "uri = 'http://h:1/db': a server is named http://HOST:PORT, with nothing behind it"),
        (
            "uri='http://root:secret@h:1'",
            "uri: user and password do not belong into a configuration; name environment variables that hold them "
            "with user_env and password_env, or token_env",
        ),
        (
            "client_kwargs={password: secret}",
            "client_kwargs.password: has a place of its own: uri, db_name, tenant, database and timeout_s, and for "
            "secrets user_env, password_env and token_env, which name environment variables",
        ),
        ("token_env=NO_SUCH", "token_env = 'NO_SUCH': the environment variable NO_SUCH is not set"),
        ("user_env=HOME", "user_env: a user and a password belong together; name password_env too"),
        ("password_env=HOME", "password_env: a user and a password belong together; name user_env too"),
        ("timeout_s=0", "timeout_s = 0: must be greater than 0"),
    ],
)
def test_a_milvus_server(override: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    monkeypatch.delenv("NO_SUCH", raising=False)
    messages = faults(f"store_conf.kwargs.{override}", conf="milvus_remote")
    assert messages == [f"store_conf.kwargs.{expected}"]


def test_a_token_takes_the_place_of_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ABC":
        monkeypatch.setenv(name, "secret")
    named = ["store_conf.kwargs.user_env=A", "store_conf.kwargs.password_env=B"]
    load("milvus_remote", named)
    assert faults(*named, "store_conf.kwargs.token_env=C", conf="milvus_remote") == [
        "store_conf.kwargs.token_env: a token takes the place of user and password; name one or the other"
    ]


def test_what_is_secret_stays_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "open-sesame")
    composed, config = load("milvus_remote", ["store_conf.kwargs.token_env=MILVUS_TOKEN"])
    plan = compile_plan(config, composed.name)
    assert plan.store.params["token_env"] == "MILVUS_TOKEN"
    assert "open-sesame" not in repr((composed.data, config, plan))


@pytest.mark.parametrize("kind", ["GPU_IVF_FLAT", "gpu_ivf_pq", "DISKANN", "IVF_PQ", "HNSW", "FLAT", "AUTOINDEX"])
def test_an_index_that_a_milvus_server_has(kind: str) -> None:
    for metric in ("COSINE", "IP", "L2"):
        index = f"{{index_type: {kind}, metric_type: {metric}}}"
        load("milvus_remote", [f"store_conf.kwargs.index_kwargs={index}"])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("uri='http://'", "uri = 'http://': a server is named http://HOST:PORT, with nothing behind it"),
        ("dir=folder", "dir = 'folder': a folder and a server (`uri`) exclude each other"),
        (
            "index_kwargs={hnsw: {space: hamming}}",
            "index_kwargs.hnsw.space = 'hamming': must be one of: cosine, ip, l2",
        ),
        ("token_env=NO_SUCH", "token_env = 'NO_SUCH': the environment variable NO_SUCH is not set"),
    ],
)
def test_a_chroma_server(override: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    assert faults(f"store_conf.kwargs.{override}", conf="chroma_remote") == [f"store_conf.kwargs.{expected}"]


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


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["+recall.steps.late={kind: rewrite, model: llm}"],
            "recall.steps.late: a question is rewritten before anything is retrieved; put this step first",
        ),
        (
            [
                "recall.steps.routes={kind: parallel, branches: {a: {kind: retrieve, retriever: chunk}, "
                "b: {kind: rewrite, model: llm}}}",
                "~recall.steps.routes.retriever",
            ],
            "recall.steps.routes.branches.b: this branch retrieves nothing; each must give nodes",
        ),
        (
            [
                "recall.steps.routes={kind: ifs, when: {chars: {max: 9}}, then: {kind: retrieve, retriever: chunk}, "
                "else: {kind: rewrite, model: llm}}",
                "~recall.steps.routes.retriever",
            ],
            "recall.steps.routes: `then` gives nodes, `else` a question; they must give the same",
        ),
        (
            ["+recall.steps.m={kind: mmr, model: embedd}"],
            "recall.steps.m.model = 'embedd': there is no model with the role 'embed' of this name; known: embed. "
            "Did you mean 'embed'?",
        ),
        (
            [
                "recall.steps.routes={kind: parallel, branches: {a: {kind: retrieve, retriever: chunk}}, "
                "merge: {kind: rrf, weights: {aa: 2.0}}}",
                "~recall.steps.routes.retriever",
            ],
            "recall.steps.routes.merge.weights = 'aa': there is no branch of this name; known: a. Did you mean 'a'?",
        ),
        (
            ["+recall.steps.k={kind: keyword}"],
            "recall.steps.k: names no word; give `required` or `excluded`",
        ),
        (
            ["+recall.steps.i={kind: ifs, when: {}, then: {kind: mmr}}"],
            "recall.steps.i.when: names no condition; known: chars, words, language, pattern, filtered_by",
        ),
        (
            ["+recall.steps.i={kind: ifs, when: {pattern: '('}, then: {kind: mmr}}"],
            "recall.steps.i.when: pattern is no regular expression: missing ), unterminated subpattern at position 0",
        ),
        (
            ["+recall.steps.i={kind: ifs, when: {chars: {min: 3, max: 2}}, then: {kind: mmr}}"],
            "recall.steps.i.when.chars: max (2) must not be below min (3)",
        ),
    ],
)
def test_steps_that_do_not_fit(overrides: list[str], message: str) -> None:
    assert faults(*overrides, conf="map") == [message]


def test_a_rewriter_that_cannot_write() -> None:
    assert (
        "recall.steps.rewrite.model = 'llm': an extractive model only quotes; rewriting needs one that writes"
        in faults("llm=extractive", conf="qa_rewrite")
    )
    assert faults("~prompts.rewrite", conf="qa_rewrite") == [
        "prompts.rewrite: is missing, and recall.steps.rewrite rewrites with it"
    ]


def test_ways_of_an_ifs_over_nodes() -> None:
    load("map", ["+recall.steps.i={kind: ifs, when: {language: zh}, then: {kind: pipeline, steps: {a: {kind: mmr}}}}"])
