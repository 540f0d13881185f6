"""The cache of a plan, and what its entries depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from confrag.plan.model import CachePlan, ModelPlan, Params, canonical
from confrag.schema.cache import CacheSpec, ExactSpec, SemanticSpec

__all__ = ["plan_cache"]


def plan_cache(
    spec: CacheSpec, retrieval: Sequence[Any], answer: Any, models: Sequence[ModelPlan], answering: str
) -> CachePlan | None:
    """The cache that is declared; None for none.

    Args:
        spec: what the configuration says.
        retrieval: everything that determines which nodes a question finds.
        answer: what, besides, determines the answer that is made of them.
        models: of the plan.
        answering: name of the model that answers.
    """
    if not isinstance(spec, ExactSpec):
        return None
    semantic = spec if isinstance(spec, SemanticSpec) else None
    whole = spec.scope == "answer"
    used = [model for model in models if whole or model.name != answering]
    # What finds a near question is part of it: with another threshold, other questions count as the same.
    near = [semantic.model, semantic.similarity_threshold] if semantic else None
    parts = [spec.scope, retrieval, answer if whole else None, used, near, spec.normalize.model_dump()]
    backend = spec.backend.model_dump()
    return CachePlan(
        scope=spec.scope,
        backend=str(backend.pop("kind")),
        backend_params=Params(backend),
        ttl_s=spec.ttl_s,
        max_entries=spec.max_entries,
        min_hits=spec.min_hits,
        normalize=Params(spec.normalize.model_dump()),
        model=semantic.model if semantic else None,
        threshold=semantic.similarity_threshold if semantic else 1.0,
        fingerprint=hashlib.sha256(canonical(_data(parts)).encode()).hexdigest()[:12],
    )


def _data(value: Any) -> Any:
    """Dataclasses as lists of their fields."""
    if isinstance(value, Params):
        return {key: _data(child) for key, child in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return [_data(getattr(value, name)) for name in value.__dataclass_fields__]
    if isinstance(value, list | tuple):
        return [_data(child) for child in value]
    return value
