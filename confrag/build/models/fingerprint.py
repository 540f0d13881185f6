"""What makes two models the same: of a text of the corpus they make the same vectors, or write the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confrag.plan.compile import OF_THE_QUERY
from confrag.plan.model import ModelPlan, canonical
from confrag.registry.catalogue import CATALOGUE
from confrag.registry.sources import ELSEWHERE

__all__ = ["fingerprint"]


def fingerprint(model: ModelPlan) -> str:
    """A digest of a model's parameters and, for a model on disk, of its files; 32 hexadecimal digits."""
    parameters: dict[str, Any] = {key: value for key, value in model.params.items() if key not in OF_THE_QUERY}
    # Elsewhere a model only has a name, which may be that of a folder here by chance.
    parts = [model.kind, parameters, [] if model.kind in ELSEWHERE else _files(model.params)]
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:32]


def _files(params: Mapping[str, Any]) -> list[str]:
    named = params.get("model")
    if not isinstance(named, str):
        return []
    if named in CATALOGUE:
        return [file.sha256 for file in CATALOGUE[named].files]
    path = Path(named).expanduser()
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    return [f"{file.name}:{_digest(file)}" for file in files if file.is_file()]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
