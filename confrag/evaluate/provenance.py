"""What an evaluation was made with: versions, models, machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from confrag.build.models.fingerprint import fingerprint
from confrag.evaluate.machine import machine, versions
from confrag.plan.model import ModelPlan
from confrag.registry.catalogue import CATALOGUE

__all__ = ["provenance"]

_PACKAGES = (
    "lazyllm",
    "hydra-core",
    "pymilvus",
    "milvus-lite",
    "chromadb",
    "hnswlib",
    "bm25s",
    "jieba",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "ir-measures",
)
"""That results may depend on."""


def provenance(models: Iterable[ModelPlan], seed: int) -> dict[str, Any]:
    """The circumstances, as plain data: without times, without secrets."""
    packages = versions(_PACKAGES)
    return {
        "confrag": version("confrag"),
        "python": packages.pop("python"),
        "packages": packages,
        "models": {model.name: _model(model) for model in models},
        "seed": seed,
        "machine": machine(),
        **({"git": commit} if (commit := _commit()) else {}),
    }


def _model(model: ModelPlan) -> dict[str, Any]:
    named = model.params.get("model")
    files = CATALOGUE[named].files if isinstance(named, str) and named in CATALOGUE else ()
    return {
        "kind": model.kind,
        "fingerprint": fingerprint(model),
        **({"model": named} if isinstance(named, str) else {}),
        **({"files": {file.name: file.sha256 for file in files}} if files else {}),
    }


def _commit() -> dict[str, Any] | None:
    """Of the repository that the command runs in, if it does."""
    try:
        commit, status = (
            subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(status)}
