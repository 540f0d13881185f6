"""The bench of models: what it counts, how it compares, and what it cannot measure."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from confrag.bench.model import AT_ONCE, ratios
from confrag.bench.report import Row
from confrag.cli import main
from confrag.plan.model import ModelPlan, Params

FAKE = Path(__file__).parents[1] / "fake_vllm"
PRESET = """# @package _global_
# A checkpoint of the test's.
defaults:
  - override /llm: vllm
models:
  llm:
    path: {path}
    python: {python}
    quantization: {quantization}
"""


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two of them, `small` and `small_awq`, behind a stand-in for vLLM."""
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    (tmp_path / "own" / "conf").mkdir(parents=True)
    for name, quantization in (("small", "none"), ("small_awq", "awq")):
        path = tmp_path / name
        path.mkdir()
        (path / "config.json").write_text("{}", "utf-8")
        text = PRESET.format(path=path, python=sys.executable, quantization=quantization)
        (tmp_path / "own" / "conf" / f"{name}.yaml").write_text(text, "utf-8")
    return ["--config-dir", str(tmp_path / "own"), f"state_dir='{tmp_path / 'state'}'", "bench.repeats=2"]


@pytest.mark.slow
def test_it_measures(presets: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "model", "small_awq", "small", "output=json", *presets]) == 0
    document = json.loads(capfd.readouterr().out)
    value = {(row["case"], row["measure"]): row["value"] for row in document["rows"]}
    measures = ["load", "memory", *(f"{what}, {n} at once" for what in ("first token", "tokens/s") for n in AT_ONCE)]
    assert set(value) == {(case, measure) for case in ("small", "small_awq") for measure in measures}
    assert all(figure > 0 for figure in value.values())
    assert document["versions"]["vllm"] == "0.0.0"
    # The guard and the server, in two interpreters.
    assert 10 < value["small", "memory"] < 500
    expected = value["small_awq", "load"] / value["small", "load"]
    assert document["ratios"]["awq_over_original_load"] == expected
    assert set(document["ratios"]) == {
        "awq_over_original_load",
        "awq_over_original_tokens_per_s_1",
        "awq_over_original_tokens_per_s_8",
    }


def test_ratios() -> None:
    figures = {"original": (20.0, 50.0, 200.0), "awq": (10.0, 40.0, 100.0)}
    rows = [
        Row(case, measure, value, "")
        for case, values in figures.items()
        for measure, value in zip(("load", "tokens/s, 1 at once", "tokens/s, 8 at once"), values, strict=True)
    ]
    kinds = {"original": "none", "awq": "awq_marlin"}
    models = {case: ModelPlan("llm", "chat", "vllm", Params({"quantization": kind})) for case, kind in kinds.items()}
    assert ratios(rows, models) == {
        "awq_over_original_load": 0.5,
        "awq_over_original_tokens_per_s_1": 0.8,
        "awq_over_original_tokens_per_s_8": 0.5,
    }
    assert ratios(rows, {"awq": models["awq"]}) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["conf=vllm"], "conf: bench model compares configurations; name them as words: vllm vllm_awq quickstart"),
        (
            ["quickstart", "llm=extractive"],
            "conf=quickstart answers by a model of kind 'extractive'; vllm and local are",
        ),
    ],
)
def test_what_it_cannot_measure(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "model", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_server_that_does_not_start(presets: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small" / "config.json").write_text(json.dumps({"fails": "CUDA out of memory"}), "utf-8")
    assert main(["bench", "model", "small", *presets]) == 4
    assert "bench model: small failed (exit code 4):" in (told := capsys.readouterr().err)
    assert "CUDA out of memory" in told
