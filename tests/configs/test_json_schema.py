"""The JSON Schema for editors: every file of ours is valid by it, and mistakes are found where they are."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from confrag.cli import main
from confrag.config.json_schema import editor_schema

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "conf").rglob("*.yaml"), *(ROOT / "examples" / "starter").rglob("*.yaml")])
FENCED = {
    f"{page.stem}-{number}": block
    for page in sorted((ROOT / "docs").glob("*.md"))
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S))
}


@cache
def checker(package: str = "_global_") -> Draft202012Validator:
    schema = editor_schema(package)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def mistakes(text: str, package: str = "_global_") -> list[str]:
    """Path of each mistake, the innermost where the schema offers a choice."""
    found = [best_match([error]) for error in checker(package).iter_errors(yaml.safe_load(text))]
    return [".".join(map(str, error.absolute_path)) for error in found]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_our_files_are_valid(file: Path) -> None:
    text = file.read_text("utf-8")
    header = re.match(r"\s*# @package (\S+)", text)
    at_the_root = file.parent.name in ("conf", "settings")
    package = header[1] if header else "_global_" if at_the_root else file.parent.name
    assert mistakes(text, package) == []


@pytest.mark.parametrize("block", FENCED.values(), ids=FENCED)
def test_the_blocks_of_the_guides_are_valid(block: str) -> None:
    assert mistakes(block) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("recal: {}", ""),
        ("retrievers: {chunk: {topkk: 3}}", "retrievers.chunk"),
        ("retrievers: {chunk: {topk: three}}", "retrievers.chunk.topk"),
        ("retrievers: {chunk: {topk: 0}}", "retrievers.chunk.topk"),
        ("store_conf: {type: milvu}", "store_conf.type"),
        ("store_conf: {type: map, kwargs: {index_kwargs: {}}}", "store_conf.kwargs"),
        ("cache: {kind: exakt}", "cache.kind"),
        ("cache: {kind: none, scope: answer}", "cache"),
        ("cache: {scope: answers}", "cache.scope"),
        ("cache: {backend: {kind: disc}}", "cache.backend.kind"),
        ("indices: {words: {kind: hnsw, M: 1}}", "indices.words.M"),
        ("node_groups: {a: {transform: {kind: split, seperator: x}}}", "node_groups.a.transform"),
        ("recall: {steps: {r: {kind: parallel, merge: rff}}}", "recall.steps.r.merge"),
        ("recall: {steps: {r: {kind: parallel, merge: {kind: rrf, kk: 3}}}}", "recall.steps.r.merge"),
        ("recall: {steps: {a: {steps: {b: {kind: rerank, top: 3}}}}}", "recall.steps.a.steps.b"),
        ("models: {llm: {kind: vllm, quantization: awg}}", "models.llm.quantization"),
        ("models: {llm: {kind: openai_compatible, api_key: secret}}", "models.llm"),
        ("doc_fields: {year: number}", "doc_fields.year"),
        ("generation: {temperature: 3}", "generation.temperature"),
        ("prompts: {answer: 3}", "prompts.answer"),
        ("defaults: {override /recall: hybrid}", "defaults"),
        ("defaults: [{override recall!: hybrid}]", "defaults.0"),
    ],
)
def test_mistakes_are_found_where_they_are(text: str, place: str) -> None:
    assert mistakes(text) == [place]


@pytest.mark.parametrize(
    "text",
    [
        "retrievers: {chunk: {topk: 3}}",
        "retrievers: {chunk: {topk: '${generation.max_tokens}'}}",
        "retrievers: {chunk: '${retrievers.other}'}",
        "corpus: {path: '???'}",
        "corpus: '???'",
        "corpus: {include: '*.md'}",
        "cache: {scope: retrieval, backend: disk}",
        "cache: {kind: exact, backend: {kind: redis, prefix: mine}}",
        "doc_fields: {year: int, tags: {type: strings}}",
        "store_conf: {type: milvus, kwargs: {index_kwargs: {index_type: HNSW, params: {M: 16}}}}",
        "defaults: [multi_route, _self_, {override /recall: mine}, {/store_conf: null}]",
        "hydra: {sweeper: {n_trials: 20}}",
        "query: Who founded it?",
    ],
)
def test_what_a_file_may_say(text: str) -> None:
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("package", "right", "wrong"),
    [
        ("store_conf", "{defaults: [map], type: chroma}", "{type: crhoma}"),
        ("node_groups", "{defaults: [default], a: {transform: {kind: recursive}}}", "{a: {transforms: {}}}"),
        ("models.llm", "{kind: local, context: 4096}", "{kind: local, contxt: 4096}"),
        ("cache", "{ttl_s: 60.5}", "{ttl: 60.5}"),
        ("serve", "{port: 0}", "{port: http}"),
    ],
)
def test_files_of_a_group(package: str, right: str, wrong: str) -> None:
    assert mistakes(right, package) == []
    assert len(mistakes(wrong, package)) == 1


def test_keys_are_explained_and_options_are_offered() -> None:
    schema = editor_schema()
    assert schema["properties"]["lock_timeout_s"]["description"].startswith("How long to wait, in seconds")
    defaults = schema["properties"]["defaults"]["items"]["anyOf"][1]["properties"]
    assert "multi_route" in defaults["override /recall"]["anyOf"][0]["enum"]
    assert "multi_route: Two routes at once" in defaults["override /recall"]["description"]
    assert "hnsw: " in schema["$defs"]["indices"]["properties"]["kind"]["description"]


def test_the_verb_prints_it_with_options_of_one_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recall").mkdir()
    (tmp_path / "recall" / "mine.yaml").write_text("# @package _global_\n# By name.\nrecall: {}\n")
    assert main(["schema", "--config-dir", str(tmp_path)]) == 0
    schema = json.loads(capsys.readouterr().out)
    offered = schema["properties"]["defaults"]["items"]["anyOf"][1]["properties"]["override /recall"]
    assert "mine" in offered["anyOf"][0]["enum"]
    assert main(["schema", "store_conf"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "confrag: store_conf"


def test_a_place_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "store_con"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("confrag: store_con: there is no such place in a configuration; known: ")
    assert error.endswith(" Did you mean 'store_conf'?\n")
    assert main(["schema", "conf=map"]) == 2
    assert "confrag: 'schema conf=map' is not understood\nusage: confrag schema" in capsys.readouterr().err
