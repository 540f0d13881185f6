"""From YAML files to plain data: where options come from, and what is said of files that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from confrag.config import compose, load
from confrag.config.compose import explain
from confrag.config.origins import origins
from confrag.config.sources import describe, group_names, options
from confrag.errors import UserError

WritePreset = Callable[[str | bytes], Path]


def refusal(*overrides: str, config_dir: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load(None, overrides, config_dir)
    return str(caught.value)


def test_the_default_preset() -> None:
    composed = compose([])
    assert composed.name == "quickstart"
    assert composed.choices["recall"] == "dense"
    assert composed.data["retrievers"] == {"chunk": {"group": "MediumChunk", "similarity": "cosine", "topk": 6}}
    assert "hydra" not in composed.data


def test_the_command_line_has_the_last_word() -> None:
    composed = compose(["conf=hybrid", "store_conf=map", "retrievers.chunk.topk=3"])
    assert composed.data["store_conf"] == {"type": "map"}
    assert composed.data["retrievers"]["chunk"]["topk"] == 3
    assert "lexical" in composed.data["retrievers"]


def test_a_group_can_be_left_out() -> None:
    assert compose(["~conf"]).name is None


def test_ones_own_preset_and_options(write_preset: WritePreset) -> None:
    folder = write_preset("defaults:\n  - override /store_conf: milvus_flat\nretrievers: {chunk: {topk: 2}}\n")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "papers.yaml").write_text("# Papers.\npath: pkg://confrag.sample\ninclude: ['*.pdf']\n")
    composed, config = load("mine", ["corpus=papers"], folder)
    assert composed.name == "mine"
    assert config.corpus.include == ("*.pdf",)
    assert config.retrievers["chunk"].topk == 2
    assert config.store_conf.type == "milvus"
    assert "mine" in options("conf", folder)
    assert describe("corpus", "papers", folder) == "Papers."
    assert set(group_names(folder)) == set(group_names())


def test_ones_own_folder_by_the_environment(write_preset: WritePreset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFRAG_CONFIG_DIR", str(write_preset("output: json\n")))
    assert load("mine")[1].output == "json"


def test_a_folder_with_marks_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "a, b=[c] 'd' 文档" / "conf"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\noutput: json\n")
    assert load("mine", config_dir=folder.parent)[1].output == "json"


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(config_dir=tmp_path / "no") == f"--config-dir={tmp_path}/no: there is no such folder"
    monkeypatch.setenv("CONFRAG_CONFIG_DIR", "nowhere")
    assert refusal() == "CONFRAG_CONFIG_DIR=nowhere: there is no such folder"


def test_an_application_keeps_its_own_hydra() -> None:
    from hydra import initialize_config_module

    with initialize_config_module("confrag.conf", version_base="1.3"):
        before = GlobalHydra.instance().hydra
        compose(["conf=map"])
        with pytest.raises(UserError):
            compose(["conf=nope"])
        assert GlobalHydra.instance().hydra is before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "corpus=smaple",
            "corpus=smaple: there is no such option of corpus; known: folder, sample. Did you mean 'sample'?",
        ),
        ("corpus=folder", "corpus.path: a value is required here; set it with corpus.path=VALUE"),
        ("corpus.path=${oc.env:CONFRAG_NOPE}", "corpus.path: Environment variable 'CONFRAG_NOPE' not found"),
        ("corpus.path=${nope}", "corpus.path: Interpolation key 'nope' not found"),
        ("corpus.path=${nope:1}", "corpus.path: Unsupported interpolation type nope"),
        ("corpus.path=${corpus.path}", "corpus.path: Recursive interpolation detected"),
        (
            "~nope",
            "the configuration does not compose: Could not delete from config. 'nope' does not exist.",
        ),
    ],
)
def test_what_does_not_compose(override: str, message: str) -> None:
    assert refusal(override) == message


def test_an_unknown_preset_is_told_the_known_ones() -> None:
    known = ", ".join(options("conf"))
    assert refusal("conf=milvus_hsnw") == (
        f"conf=milvus_hsnw: there is no such preset; known: {known}. Did you mean 'milvus_hnsw'?"
    )


def test_several_values_are_no_single_configuration() -> None:
    assert refusal("retrievers.chunk.topk=3,6") == (
        "'retrievers.chunk.topk=3,6' names several values: with -m, run and eval take each of them; a list is written "
        "retrievers.chunk.topk=[first,second], a text with a comma \"retrievers.chunk.topk='first,second'\""
    )


HEADER = b"# @package _global_\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file is empty; a configuration holds at least one key"),
        (HEADER, ": the file is empty; a configuration holds at least one key"),
        (HEADER + b"corpus: caf\xe9\n", ": not UTF-8 (byte 31); save the file as UTF-8"),
        ("output: json\n".encode("utf-16"), ": not UTF-8 (byte 0); save the file as UTF-8"),
        (b"output: json\n", ": a preset must begin with the line '# @package _global_'"),
        (b"# mine\n# @package _global_\noutput: json\n", ": a preset must begin with the line '# @package _global_'"),
        (b"\xef\xbb\xbf# @package _global_\na: 1\n", ": a preset must begin with the line '# @package _global_'"),
        (HEADER + b"corpus:\n\tpath: x\n", ":3:1: not valid YAML: found character '\\t' that cannot start any token"),
        (HEADER + b"a: {b\n", ":3:1: not valid YAML: expected ',' or '}', but got '<stream end>'"),
        (HEADER + b"a: b: c\n", ":2:5: not valid YAML: mapping values are not allowed here"),
        (HEADER + b"- a\n", ": must be a mapping (key: value), and is a list"),
        (HEADER + b"a\n", ": must be a mapping (key: value), and is a str"),
        (
            HEADER + b"recall: &r {kind: pipeline, steps: {a: *r}}\n",
            ": recall.steps.a: nested too deeply, or inside itself",
        ),
        (HEADER + b"a: " + b"[" * 1000 + b"]" * 1000, ": nested too deeply"),
        (
            HEADER + b"corpus: {path: '${'}\n",
            ": corpus.path = '${': no valid interpolation: no viable alternative at input '${'",
        ),
        (HEADER + b"node_groups: !!set {a}\n", ": node_groups: a value of the type set is not allowed"),
        (HEADER + b"node_groups: {null: {}}\n", ": node_groups: the key None must be a text"),
        (HEADER + b"defaults: hello\n", ": defaults: must be a list"),
        (HEADER + b"defaults: [1]\n", ": defaults.0 = 1: must be 'group: option'"),
        (HEADER + b"defaults: [mine]\n", ": defaults.0 = 'mine': the file names itself"),
        (
            HEADER + b"a: !!python/object/apply:os.getcwd []\n",
            ":2:4: not valid YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.getcwd'",
        ),
    ],
)
def test_a_file_that_cannot_be_used(write_preset: WritePreset, content: bytes, message: str) -> None:
    folder = write_preset(content)
    assert refusal("conf=mine", config_dir=folder) == f"{folder}/conf/mine.yaml{message}"


def test_a_key_given_twice(write_preset: WritePreset) -> None:
    folder = write_preset("output: json\noutput: text\n")
    message = refusal("conf=mine", config_dir=folder)
    assert message.startswith("the configuration does not compose: while constructing a mapping")
    assert f'"{folder}/conf/mine.yaml", line 3' in message
    assert message.endswith("found duplicate key output")


def test_the_option_of_a_preset_that_does_not_exist(write_preset: WritePreset) -> None:
    folder = write_preset("defaults:\n  - override /store_conf: chrome\n")
    assert refusal("conf=mine", config_dir=folder).endswith("Did you mean 'chroma'?")


@pytest.mark.parametrize(
    "place",
    ["callbacks.x._target_", "launcher._target_", "job_logging.handlers.x.class", "job_logging.formatters.x.()"],
)
def test_no_python_code_is_named(write_preset: WritePreset, place: str) -> None:
    *parents, key = place.split(".")
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(["hydra", *parents, f'"{key}"'])]
    folder = write_preset("\n".join(lines) + " os.getcwd\n")
    assert refusal("conf=mine", config_dir=folder).endswith(
        f"hydra.{place} = 'os.getcwd': a configuration may not name Python code"
    )


def test_an_unknown_error_keeps_its_words() -> None:
    assert str(explain(ValueError("odd"), None)) == "the configuration does not compose: odd"


def test_where_values_come_from(write_preset: WritePreset) -> None:
    folder = write_preset("retrievers: {chunk: {topk: 2}}\n")
    composed, _ = load("mine", ["generation.max_tokens=9", "llm=extractive"], folder)
    found = {path: (value, origin) for path, value, origin in origins(composed, composed.data)}
    assert found["retrievers.chunk.topk"] == ("2", f"{folder}/conf/mine.yaml")
    assert found["retrievers.chunk.group"] == ("MediumChunk", "conf/recall/dense.yaml")
    assert found["generation.max_tokens"] == ("9", "command line")
    assert found["models.llm.kind"] == ("extractive", "conf/llm/extractive.yaml")
    assert found["state_dir"] == (".confrag", "conf/config.yaml")
