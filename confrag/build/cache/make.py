"""From a plan to its cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from confrag.build.cache.guarded import Guarded
from confrag.build.cache.keys import space_of
from confrag.build.cache.policy import AnswerCache, State
from confrag.build.cache.semantic import Semantic
from confrag.build.models.fingerprint import fingerprint
from confrag.plan.model import ModelPlan, Plan
from confrag.registry import builder

__all__ = ["build"]


def build(
    plan: Plan, embed: Mapping[str, Callable[[Any], Any]], state: State, warn: Callable[[str], None]
) -> AnswerCache | None:
    """The cache of a plan; None when it declares none.

    Args:
        plan: with its cache.
        embed: of the embedding models, as the retrievers call them.
        state: of the corpus, see `AnswerCache`.
        warn: told when the place fails, and when it is back.

    Raises:
        UserError: a place that cannot be used.
    """
    declared = plan.cache
    if declared is None:
        return None
    state_dir = Path(plan.state_dir).expanduser().absolute()
    backend = builder("cache_backends", declared.backend)(
        state_dir, max_entries=declared.max_entries, ttl_s=declared.ttl_s, **declared.backend_params.thaw()
    )
    models = [_identity(model) for model in plan.models]
    return AnswerCache(
        Guarded(backend, f"cache ({declared.backend})", warn),
        fingerprint=space_of(declared.fingerprint, models),
        state=state,
        min_hits=declared.min_hits,
        normalize=declared.normalize,
        semantic=Semantic(embed[declared.model], declared.threshold) if declared.model else None,
    )


def _identity(model: ModelPlan) -> list[Any]:
    """What changes with a model on disk, whose name may stay; a large one is not read at each start."""
    if model.role == "embed":
        return [fingerprint(model)]
    path = Path(str(model.params.get("model") or "")).expanduser()
    if model.kind != "local" or not path.exists():
        return []
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]
