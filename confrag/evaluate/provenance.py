"""What an evaluation was made with: versions, models, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from confrag.build.models.fingerprint import fingerprint
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
    packages = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "confrag": version("confrag"),
        "python": platform.python_version(),
        "packages": packages,
        "models": {model.name: _model(model) for model in models},
        "seed": seed,
        "machine": _machine(),
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


def _machine() -> Mapping[str, Any]:
    return {
        "cpu": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "platform": platform.platform(),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
