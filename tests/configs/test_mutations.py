"""Over 200 broken presets of a user's own: each ends in exit code 2 and a message that names the place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from confrag.cli import main
from confrag.config import compose

WritePreset = Callable[[str | bytes], Path]
Mutation = tuple[str | bytes, str]
"""The text of a preset, and what the message must name."""

NAMED = ("node_groups", "models", "retrievers", "steps", "branches", "readers", "params")
"""Mappings whose keys are names of the user's own, in which no spelling is wrong."""
OPTIONS = ("query", "queries_file", "output", "format", "where", "verbose", "debug", "progress", "state_dir")


def overlay(path: tuple[str, ...], value: object, *defaults: str) -> str:
    """A preset that puts a value at a path, over options of some groups."""
    data: Any = value
    for key in reversed(path):
        data = {key: data}
    return yaml.safe_dump(
        {"defaults": [{f"override /{d.partition('=')[0]}": d.partition("=")[2]} for d in defaults]} | data
    )


def leaves(data: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(data, dict) and data:
        for key, child in data.items():
            yield from leaves(child, (*path, key))
    else:
        yield path, data


def keys(data: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, child in data.items() if isinstance(data, dict) else ():
        if not (path and path[-1] in NAMED):
            yield (*path, key)
        yield from keys(child, (*path, key))


# Between them, these have every kind of node that the packaged presets have.
BASES = (
    ("store_conf=milvus_hnsw", "recall=multi_route", "rerank=ms_marco"),
    ("store_conf=map_milvus_index", "recall=hybrid", "llm=openai_compatible"),
    ("store_conf=chroma", "llm=extractive", "embed=e5_multilingual"),
)


def misspelt(key: str) -> str:
    return f"{key[:-1]}_{key[-1]}" if len(key) > 1 else f"{key}_"


def _of_the_presets() -> Iterator[Mutation]:
    seen: set[tuple[str, ...]] = set()
    for base in BASES:
        data = compose(base).data
        for path in keys(data):
            wrong = (*path[:-1], misspelt(path[-1]))
            if wrong not in seen:
                seen.add(wrong)
                yield overlay(wrong, 1, *base), f"{'.'.join(wrong)} = 1: unknown key"
        for path, value in leaves(data):
            if path in seen or (len(path) > 1 and path[-2] == "params"):
                continue
            seen.add(path)
            place = ".".join(path)
            if isinstance(value, int | float) and not isinstance(value, bool):
                for number in (10**30, "many"):
                    yield overlay(path, number, *base), f"{place} = "
            elif isinstance(value, bool):
                yield overlay(path, "perhaps", *base), f"{place} = "
            elif path[0] not in OPTIONS and value is not None:
                yield overlay(path, [{"a": {"b": 1}}] if isinstance(value, str) else 7, *base), place


BY_HAND: tuple[Mutation, ...] = (
    # Nothing where something has to be.
    *((f"{part}: null\n", f"{part} = None") for part in ("corpus", "node_groups", "retrievers", "recall", "models")),
    *((f"{part}: null\n", f"{part} = None") for part in ("prompts", "generation", "store_conf", "state_dir", "output")),
    *((f"{part}: text\n", f"{part} = 'text'") for part in ("corpus", "node_groups", "retrievers", "recall", "models")),
    *((f"{part}: text\n", f"{part} = 'text'") for part in ("prompts", "generation", "store_conf", "where", "debug")),
    *((f"{part}: [1]\n", "conf/mine") for part in ("corpus", "node_groups", "retrievers", "recall", "models")),
    # References that lead nowhere, and circles.
    ("retrievers: {chunk: {group: Nope}}\n", "retrievers.chunk.group = 'Nope'"),
    ("retrievers: {chunk: {target: Nope}}\n", "retrievers.chunk.target = 'Nope'"),
    ("retrievers: {chunk: {embed_keys: [nope]}}\n", "retrievers.chunk.embed_keys = 'nope'"),
    ("retrievers: {chunk: {index: trie}}\n", "retrievers.chunk.index = 'trie'"),
    ("retrievers: {chunk: {index: smart_embedding_index}}\n", "retrievers.chunk.index = 'smart_embedding_index'"),
    ("retrievers: {more: {group: MediumChunk}}\n", "retrievers.more: no step"),
    ("node_groups: {sentence: {parent: Nope}}\n", "node_groups.sentence.parent = 'Nope'"),
    ("node_groups: {sentence: {parent: sentence}}\n", "node_groups.sentence.parent = 'sentence': a cycle"),
    ("node_groups: {MediumChunk: {parent: sentence}}\n", "node_groups.MediumChunk.parent = 'sentence': a cycle"),
    ("node_groups: {sentence: {embed: [nope]}}\n", "node_groups.sentence.embed = 'nope'"),
    ("node_groups: {root: {transform: {kind: split, separator: x}}}\n", "node_groups.root = 'root'"),
    ("node_groups: {new: {transform: {kind: splitt}}}\n", "node_groups.new.transform.kind = 'splitt'"),
    ("node_groups: {new: {transform: {kind: split}}}\n", "node_groups.new.transform.separator: required"),
    ("node_groups: {new: {parent: root}}\n", "node_groups.new.transform: required"),
    ("recall: {steps: {routes: {retriever: nope}}}\n", "recall.steps.routes.retriever = 'nope'"),
    ("recall: {steps: {more: {kind: rerank}}}\n", "recall.steps.more.model = 'rerank'"),
    ("recall: {steps: {more: {kind: nope}}}\n", "recall.steps.more.kind = 'nope'"),
    ("recall: {steps: {more: {topk: 3}}}\n", "recall.steps.more.kind: required"),
    ("generation: {model: embed}\n", "generation.model = 'embed'"),
    ("models: {llm: {model: gpt-4o}}\n", "models.llm.model = 'gpt-4o'"),
    ("models: {embed: {model: smollm2-135m}}\n", "models.embed.model = 'smollm2-135m'"),
    ("models: {embed: {role: chat}}\n", "models.embed"),
    ("models: {new: {role: embed}}\n", "models.new.kind: required"),
    ("models: {new: {kind: local}}\n", "models.new.role: required"),
    ("models: {llm: {kind: openai_compatible, base_url: localhost}}\n", "models.llm.base_url = 'localhost'"),
    ("models: {llm: {kind: extractive, passages: 0}}\n", "models.llm.passages = 0"),
    ("models: {llm: {_target_: os.getcwd}}\n", "models.llm._target_ = 'os.getcwd': unknown key"),
    ("store_conf: {type: redis}\n", "store_conf.type = 'redis'"),
    ("store_conf: {type: milvus, kwargs: {index_kwargs: {index_type: NOPE}}}\n", "kwargs.index_kwargs.index_type"),
    ("store_conf: {type: milvus, kwargs: {index_kwargs: {metric_type: IP}}}\n", "index_kwargs.index_type: required"),
    ("store_conf: {type: milvus, kwargs: {uri: 'tcp://h:1'}}\n", "store_conf.kwargs.uri = 'tcp://h:1'"),
    ("store_conf: {type: map, indices: {trie: {}}}\n", "store_conf.indices.trie"),
    ("store_conf: {segment_store: {type: map}}\n", "store_conf.vector_store: required"),
    ("store_conf: {vector_store: {type: map}, segment_store: {type: map}}\n", "store_conf.vector_store"),
    ("corpus: {path: no/such/place}\n", "corpus.path = 'no/such/place'"),
    ("corpus: {path: []}\n", "corpus.path"),
    ("corpus: {readers: {log: nope}}\n", "corpus.readers.log = 'nope'"),
    ("corpus: {on_error: ignore}\n", "corpus.on_error = 'ignore'"),
    ("prompts: {answer: {user: hello}}\n", "prompts.answer.user = 'hello'"),
    ("queries_file: no.txt\n", "queries_file = 'no.txt'"),
    ("corpus: {path: '${oc.env:CONFRAG_NOPE}'}\n", "corpus.path: Environment variable 'CONFRAG_NOPE' not found"),
    ("corpus: {path: '${nope:1}'}\n", "corpus.path: Unsupported interpolation type nope"),
    ("corpus: {path: '${nope}'}\n", "corpus.path: Interpolation key 'nope' not found"),
    ("corpus: {path: '${corpus.path}'}\n", "corpus.path: Recursive interpolation"),
    ("corpus: {path: '${'}\n", "mine.yaml: corpus.path = '${': no valid interpolation"),
    ("generation: {temperature: .nan}\n", "generation.temperature = nan"),
    ("generation: {temperature: .inf}\n", "generation.temperature = inf"),
    ("state_dir: !!binary aGVsbG8=\n", "state_dir = b'hello'"),
    ("yes: 1\n", "True = 1: unknown key"),
    ("node_groups: {1: {transform: {kind: split, separator: x}}}\n", "node_groups.1: the key must be a text"),
    ("hydra: {nope: 1}\n", "hydra.nope"),
    ("hydra: {callbacks: {x: {_target_: os.getcwd}}}\n", "hydra.callbacks.x._target_ = 'os.getcwd'"),
    # The list of defaults.
    ("defaults: [{override /store_conf: nope}]\n", "store_conf=nope"),
    ("defaults: [{override /nope: map}]\n", "Could not override 'nope'"),
    ("defaults: [{/store_conf: map}]\n", "Multiple values for store_conf"),
    ("defaults: [nope]\n", "conf=nope"),
    ("defaults: [mine]\n", "mine.yaml: defaults.0 = 'mine'"),
    ("defaults: [7]\n", "mine.yaml: defaults.0 = 7"),
    ("defaults: [null]\n", "mine.yaml: defaults.0 = None"),
    ("defaults: map\n", "mine.yaml: defaults: must be a list"),
    # Text that is no configuration.
    ("", "mine.yaml: the file is empty"),
    (b"", "mine.yaml: the file is empty"),
    (b"\xff\xfe\x00", "mine.yaml: not UTF-8"),
    (b"# @package _global_\ncorpus: {path: caf\xe9}\n", "mine.yaml: not UTF-8"),
    ("output: json\n".encode("utf-16"), "mine.yaml: not UTF-8"),
    (b"\xef\xbb\xbf# @package _global_\noutput: json\n", "mine.yaml: a preset must begin with the line"),
    (b"output: json\n", "mine.yaml: a preset must begin with the line"),
    (b"# mine\n# @package _global_\noutput: json\n", "mine.yaml: a preset must begin with the line"),
    (b"# @package corpus\npath: x\n", "mine.yaml: a preset must begin with the line"),
    ("output: json\noutput: text\n", 'conf/mine.yaml", line 3'),
    ("corpus:\n\tpath: x\n", "mine.yaml:4:1: not valid YAML"),
    ("corpus: {path: x\n", "mine.yaml:4:1: not valid YAML"),
    ("corpus: path: x\n", "mine.yaml:3:13: not valid YAML"),
    ("corpus: 'x\n", "mine.yaml:4:1: not valid YAML"),
    ("corpus: *nope\n", "mine.yaml:3:9: not valid YAML"),
    ("corpus: @x\n", "mine.yaml:3:9: not valid YAML"),
    ("corpus: !!python/object/apply:os.getcwd []\n", "mine.yaml:3:9: not valid YAML"),
    ("corpus: {<<: 3}\n", "mine.yaml:3:14: not valid YAML"),
    ("a: 1\n---\nb: 1\n", "mine.yaml:4:1: not valid YAML"),
    ("a: x\0y\n", "mine.yaml: not valid YAML"),
    ("[a]: 1\n? {b: 1}\n: 2\n", "mine.yaml:3:1: not valid YAML"),
    ("- corpus\n", "mine.yaml: must be a mapping"),
    ("corpus\n", "mine.yaml: must be a mapping"),
    ("node_groups: !!set {a}\n", "mine.yaml: node_groups: a value of the type set"),
    ("node_groups: {null: {}}\n", "mine.yaml: node_groups: the key None"),
    ("recall: &all {kind: pipeline, steps: {again: *all}}\n", "mine.yaml: recall.steps.again: nested too deeply"),
    ("recall: " + "{steps: {a: " * 200 + "}}" * 200 + "\n", "mine.yaml: recall.steps.a"),
    ("recall: " + "[" * 2000 + "]" * 2000 + "\n", "mine.yaml: nested too deeply"),
    ("output: " + "9" * 5000 + "\n", "mine.yaml: not valid YAML"),
)

MUTATIONS = (*_of_the_presets(), *BY_HAND)


def test_there_are_enough() -> None:
    assert len({content for content, _ in MUTATIONS}) >= 200


# Hydra takes a tenth of a second for each: of those that a program makes, a tenth is enough for each day.
OFTEN = [n for n in range(len(MUTATIONS)) if n % 10 == 0 or n >= len(MUTATIONS) - len(BY_HAND)]
SELDOM = [pytest.param(n, marks=pytest.mark.slow) for n in range(len(MUTATIONS)) if n not in set(OFTEN)]


@pytest.mark.parametrize("number", [*OFTEN, *SELDOM])
def test_a_broken_preset(
    number: int, write_preset: WritePreset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, named = MUTATIONS[number]
    folder = write_preset(content)
    monkeypatch.chdir(folder)
    code = main(["validate", "--config-dir", str(folder), "conf=mine"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("confrag: ")
    assert named in err
    assert "Traceback" not in err
    assert [path.name for path in folder.iterdir()] == ["conf"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(content=st.one_of(st.binary(), st.text("[]{}:-,&*!|>'\"%@`#?\n\t ab1~<", min_size=1).map(str.encode)))
def test_any_file_at_all(content: bytes, write_preset: WritePreset, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["validate", "--config-dir", str(write_preset(b"# @package _global_\n" + content)), "conf=mine"])
    out, err = capsys.readouterr()
    assert (code, bool(out), bool(err)) in [(0, True, False), (2, False, True)]
    assert not re.search("Traceback|Error:", err)
