"""The models of a plan: loaded for as long as the engine runs, or when an ingest first needs them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from confrag.build.models.chat import ChatModel
from confrag.build.models.fingerprint import fingerprint
from confrag.build.progress import ProgressFn
from confrag.plan.model import ModelPlan, Plan
from confrag.registry import builder
from confrag.runtime.asking import Asker
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.embedding_cache import EmbeddingCache, cache_file
from confrag.runtime.lazy_model import LazyModel
from confrag.runtime.reply_cache import ReplyCache, reply_file

__all__ = ["for_ingest", "load_models"]

_log = logging.getLogger("confrag")


def load_models(plan: Plan, stack: ExitStack, progress: ProgressFn) -> dict[str, Any]:
    """The models that questions need, by name; closed with the stack.

    Raises:
        UserError: a model that cannot be used.
        ServiceError: a server that does not answer.
    """
    models: dict[str, Any] = {}
    for model in plan.models:
        if model.name not in plan.only_for_ingest:
            models[model.name] = _load(model, progress)
            stack.callback(models[model.name].close)
    return {name: _backed(plan.model(name), made, models.__getitem__) for name, made in models.items()}


def for_ingest(
    plan: Plan, stack: ExitStack, models: Mapping[str, Any], progress: ProgressFn
) -> tuple[dict[str, CachedEmbedder], dict[str, Asker]]:
    """What an ingest asks: embedding models by name, and by node group what asks the model that writes it.

    A model that is not among `models` is loaded when it is first needed, and closed with the stack.
    """
    return _embedders(plan, stack, models, progress), _askers(plan, stack, models, progress)


def _load(model: ModelPlan, progress: ProgressFn) -> Any:
    made = builder("models", model.kind)(role=model.role, **model.params.thaw(), progress=progress)
    return replace(made, name=model.name) if isinstance(made, ChatModel) else made


def _backed(model: ModelPlan, made: Any, stand_in: Callable[[str], Any]) -> Any:
    """A model with those that stand in for it."""
    names = model.params.get("fallback", ())
    return replace(made, fallbacks=tuple(map(stand_in, names))) if names else made


def _embedders(
    plan: Plan, stack: ExitStack, models: Mapping[str, Any], progress: ProgressFn
) -> dict[str, CachedEmbedder]:
    """With the cache that all collections of the `state_dir` share."""
    cache = None
    if plan.embedding_cache_mb:
        cache = EmbeddingCache(cache_file(plan.state_dir), plan.embedding_cache_mb * 2**20)
        stack.callback(cache.close)
    embedders = {}
    for model in plan.models:
        if model.role != "embed":
            continue

        def load(model: ModelPlan = model) -> Any:
            return models[model.name] if model.name in models else _load(model, progress)

        embedders[model.name] = CachedEmbedder(load, cache, fingerprint(model), _log.warning)
        if model.name not in models:
            stack.callback(embedders[model.name].close)
    return embedders


def _askers(plan: Plan, stack: ExitStack, models: Mapping[str, Any], progress: ProgressFn) -> dict[str, Asker]:
    """With the cache that all collections share."""
    written = {group.name: (group, group.model) for group in plan.groups if group.model}
    if not written:
        return {}
    cache = ReplyCache(reply_file(plan.state_dir))
    stack.callback(cache.close)
    loads: dict[str, Callable[[], Any]] = {name: partial(models.__getitem__, name) for name in models}
    askers = {}
    for name, (group, writer) in written.items():
        model = plan.model(writer)
        for asked in (writer, *model.params.get("fallback", ())):
            if asked not in loads:
                lazy: LazyModel[Any] = LazyModel(partial(_load, plan.model(asked), progress))
                stack.callback(lazy.close)
                loads[asked] = lazy

        def load(model: ModelPlan = model) -> Any:
            return _backed(model, loads[model.name](), lambda stand_in: loads[stand_in]())

        askers[name] = Asker(group, load, cache, fingerprint(model), _log.warning)
    return askers
