"""The kind `vllm` without a server: its command line, and what a configuration may say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from confrag.build import prepare
from confrag.build.models.vllm import build, command, mark, served_name, start
from confrag.cli import main
from confrag.config import load
from confrag.errors import ConfigError, MissingDependencyError, UserError
from confrag.plan import compile_plan
from confrag.schema.vllm import VllmSpec


@pytest.fixture(autouse=True, scope="module")
def _lazyllm() -> None:
    prepare()


def flags(**keys: Any) -> list[str]:
    """The arguments behind the interpreter, ``--a=b`` as two."""
    interpreter, *rest = command("/env/bin/python", "/models/qwen 7b; true", "qwen", 8123, **keys)
    assert interpreter == "/env/bin/python"
    return [part for word in rest for part in (word.split("=", 1) if word.startswith("--") else [word])]


def value(words: list[str], flag: str) -> str:
    """Of a flag that comes twice, the server takes the last."""
    places = [at for at, word in enumerate(words) if word == flag]
    return words[places[-1] + 1]


def test_the_command_is_that_of_lazyllm_on_the_loopback_interface() -> None:
    words = flags()
    assert words[:2] == ["-m", "vllm.entrypoints.openai.api_server"]
    assert value(words, "--host") == "127.0.0.1"
    assert value(words, "--port") == "8123"
    assert value(words, "--model") == "/models/qwen 7b; true"  # one argument: no shell reads it
    assert value(words, "--served-model-name") == "qwen"
    assert value(words, "--tensor_parallel_size") == "1"
    assert value(words, "--dtype") == "auto"
    unwanted = ("trust", "quantization", "max_model_len", "gpu_memory")
    assert not [word for word in words if any(name in word for name in unwanted)]


def test_every_key_has_its_flag() -> None:
    words = flags(
        quantization="awq_marlin",
        tensor_parallel_size=2,
        max_model_len=4096,
        gpu_memory_utilization=0.85,
        dtype="bfloat16",
        trust_remote_code=True,
    )
    assert value(words, "--quantization") == "awq_marlin"
    assert value(words, "--tensor_parallel_size") == "2"
    assert value(words, "--max_model_len") == "4096"
    assert value(words, "--gpu_memory_utilization") == "0.85"
    assert value(words, "--dtype") == "bfloat16"
    assert "--trust_remote_code" in words


def test_more_flags_keep_their_types() -> None:
    given = {
        "max_num_seqs": 16,
        "enforce_eager": True,
        "enable_prefix_caching": False,
        "hf_overrides": {"rope_scaling": {"factor": 2.0}},
        "allowed_origins": ["a b", "$(id)"],
    }
    words = flags(args=given)
    assert value(words, "--max-num-seqs") == "16"
    assert "--enforce-eager" in words
    assert "--no-enable-prefix-caching" in words
    assert value(words, "--hf-overrides") == '{"rope_scaling": {"factor": 2.0}}'
    at = words.index("--allowed-origins")
    assert words[at + 1 : at + 3] == ["a b", "$(id)"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("{host: 0.0.0.0}", "'host' cannot be given: --host is set by confrag"),
        ("{ho: 0.0.0.0}", "'ho' cannot be given: --host is set by confrag"),
        ("{trust_remote: true}", "'trust_remote' has a key of its own: use 'trust_remote_code' beside 'args'"),
        ("{quantization: fp8}", "'quantization' has a key of its own: use 'quantization' beside 'args'"),
        ("{middleware: os.system}", "'middleware' cannot be given: --middleware loads code"),
        ("{seed: null}", "'seed' takes text, a number, true or false, a list or a mapping"),
    ],
)
def test_flags_that_are_not_taken(args: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, ["conf=vllm", f"models.llm.args={args}"])
    assert "models.llm.args" in str(caught.value)
    assert message in str(caught.value)


def test_a_flag_is_a_name() -> None:
    with pytest.raises(ConfigError, match=r"models\.llm\.args"):
        load(None, ["conf=vllm", "models.llm.args={'x --host': 1}"])


def plan_of(*overrides: str) -> Mapping[str, Any]:
    composed, config = load(None, overrides)
    return compile_plan(config, composed.name).model("llm").params


def test_the_presets_differ_in_the_checkpoint() -> None:
    original, awq = plan_of("conf=vllm", "state_dir=here"), plan_of("conf=vllm_awq", "state_dir=here")
    differing = {key for key in original if original[key] != awq[key]}
    assert differing == {"path", "quantization"}
    assert awq["quantization"] == "awq"
    assert original["state_dir"] == "here"
    assert original["trust_remote_code"] is False
    assert set(original) == set(VllmSpec.model_fields) - {"role", "kind", "price"}


def test_what_makes_two_servers_the_same() -> None:
    one = plan_of("conf=vllm")
    assert mark(one) == mark(plan_of("conf=vllm", "models.llm.port=8001", "models.llm.timeout_s=5", "state_dir=x"))
    for override in ("quantization=gptq", "max_model_len=512", "args={max_num_seqs: 4}", "path=other"):
        assert mark(one) != mark(plan_of("conf=vllm", f"models.llm.{override}"))


def test_names(tmp_path: Path) -> None:
    assert served_name("Qwen/Qwen2.5-7B-Instruct-AWQ") == "Qwen/Qwen2.5-7B-Instruct-AWQ"
    assert served_name(str(tmp_path / "smol")) == "smol"


def test_vllm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingDependencyError, match=r"Install it with: pip install 'confrag\[vllm\]'"):
        build(role="chat", path="some/model")


def test_another_interpreter_without_it(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nexit 1\n", "utf-8")  # as an interpreter that finds no vllm
    other.chmod(0o755)
    with pytest.raises(UserError, match=r"has no vllm. Install it with: .*/python -m pip install vllm"):
        start(path="some/model", python=str(other))
    with pytest.raises(UserError, match=r"python = '.*/nowhere': this interpreter cannot be run"):
        start(path="some/model", python=str(tmp_path / "nowhere"))


def test_a_folder_without_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "fake_vllm"))
    with pytest.raises(UserError, match=r"holds no checkpoint: a folder with config.json, tokenizer and weights"):
        start(path=str(tmp_path), python=sys.executable)


def test_doctor_says_that_it_is_missing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    assert main(["doctor", "conf=vllm"]) == 2
    assert "the model kind 'vllm' needs the package 'vllm', which is not installed" in capfd.readouterr().out
