"""From a validated configuration to a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from confrag.plan.model import (
    AnswerPlan,
    CorpusPlan,
    GroupPlan,
    ModelPlan,
    Params,
    Plan,
    RetrieverPlan,
    StepPlan,
    StorePlan,
    canonical,
)
from confrag.schema.nodes import ROOT
from confrag.schema.retrieval import SIMILARITIES, RetrieverSpec, StepSpec, branches
from confrag.schema.root import Config
from confrag.schema.store import ChromaStoreSpec, MapStoreSpec, SplitStoreSpec, StoreSpec

__all__ = ["OF_THE_QUERY", "compile_plan", "corpus_paths", "store_of_rows"]


def compile_plan(config: Config, name: str | None = None) -> Plan:
    """Resolve a configuration: drop what is unused, spell out what is implied."""
    embedders = [key for key, model in config.models.items() if model.role == "embed"]
    retrievers = tuple(_retriever(key, spec, embedders) for key, spec in config.retrievers.items())
    groups = _groups(config, retrievers)
    recall = _step("recall", config.recall)
    corpus = CorpusPlan(
        config.corpus.path,
        config.corpus.include,
        config.corpus.exclude,
        Params(config.corpus.readers),
        config.corpus.on_error,
    )
    store = _store(config.store_conf)
    reranked = [step.params["model"] for step in recall.walk() if step.kind == "rerank"]
    used = [*_embedders(groups, retrievers), *reranked, config.generation.model]
    models = tuple(_model(config, key) for key in dict.fromkeys(used))
    return Plan(
        name=name or "custom",
        collection=_collection(store, corpus, groups, [m for m in models if m.role == "embed"]),
        state_dir=config.state_dir,
        embedding_cache_mb=config.embedding_cache.max_mb,
        lock_timeout_s=config.lock_timeout_s,
        corpus=corpus,
        store=store,
        groups=groups,
        models=models,
        retrievers=retrievers,
        recall=recall,
        answer=AnswerPlan(
            model=config.generation.model,
            system=config.prompts.answer.system,
            user=config.prompts.answer.user,
            no_source=config.prompts.no_source,
            quoted=config.prompts.quoted,
            temperature=config.generation.temperature,
            max_tokens=config.generation.max_tokens,
            context_tokens=config.generation.context_tokens,
        ),
    )


def _retriever(name: str, spec: RetrieverSpec, embedders: list[str]) -> RetrieverPlan:
    mode = SIMILARITIES[spec.similarity]
    keys = (spec.embed_keys or tuple(embedders)) if mode == "embedding" else ()
    target = None if spec.target == spec.group else spec.target
    return RetrieverPlan(
        name, spec.group, target, spec.topk, spec.similarity, mode, spec.similarity_cut_off, keys, spec.weight
    )


def _groups(config: Config, retrievers: Iterable[RetrieverPlan]) -> tuple[GroupPlan, ...]:
    """The groups that retrievers search or return, with their ancestors, parents first."""
    wanted: dict[str, dict[str, None]] = {}
    for retriever in retrievers:
        wanted.setdefault(retriever.group, {}).update(dict.fromkeys(retriever.embed_keys))
        if retriever.target:
            wanted.setdefault(retriever.target, {})
    order: list[str] = []

    def visit(group: str) -> None:
        if group == ROOT or group in order:
            return
        visit(config.node_groups[group].parent)
        order.append(group)

    for group in wanted:
        visit(group)
    result = []
    for group in order:
        spec = config.node_groups[group]
        embed = spec.embed if spec.embed is not None else tuple(wanted.get(group, ()))
        params = Params(spec.transform.model_dump(exclude={"kind"}))
        result.append(GroupPlan(group, spec.parent, spec.transform.kind, params, embed))
    return tuple(result)


def _embedders(groups: Iterable[GroupPlan], retrievers: Iterable[RetrieverPlan]) -> list[str]:
    keys = [key for group in groups for key in group.embed]
    return keys + [key for retriever in retrievers for key in retriever.embed_keys]


def _step(name: str, spec: StepSpec) -> StepPlan:
    children = tuple(_step(key, child) for key, child in branches(spec).items())
    params = spec.model_dump(exclude={"kind", "branches", "steps"})
    return StepPlan(name, spec.kind, Params(params), children)


def _model(config: Config, name: str) -> ModelPlan:
    spec = config.models[name]
    return ModelPlan(name, spec.role, spec.kind, Params(spec.model_dump(exclude={"role", "kind"})))


def _store(spec: StoreSpec) -> StorePlan:
    """The backend that holds the vectors, with the place of the text among its arguments."""
    if isinstance(spec, SplitStoreSpec):
        vectors = spec.vector_store
        return _backend(vectors.type, vectors.kwargs.model_dump(exclude_none=True), spec.segment_store.kwargs.uri)
    if isinstance(spec, MapStoreSpec | ChromaStoreSpec) and spec.indices:
        # As in LazyLLM, the index takes the place of the store's own vectors.
        index = spec.indices.smart_embedding_index
        segments = spec.kwargs.uri if isinstance(spec, MapStoreSpec) else None
        return _backend(index.backend, index.kwargs.model_dump(exclude_none=True), segments)
    arguments = spec.model_dump(exclude={"type", "indices"}, exclude_none=True).get("kwargs", {})
    return _backend(spec.type, arguments)


def _backend(kind: str, arguments: Mapping[str, object], segments: str | None = None) -> StorePlan:
    given = {**arguments, "segments": segments}
    return StorePlan(kind, Params(_without(given, lambda key, value: value in (None, (), {}, []))))


def _without(value: Any, drop: Callable[[str, Any], bool]) -> Any:
    """Plain data without the entries of mappings, at any depth, that are to be dropped."""
    if isinstance(value, Mapping):
        return {key: _without(child, drop) for key, child in value.items() if not drop(key, child)}
    return [_without(child, drop) for child in value] if isinstance(value, list | tuple) else value


OF_THE_QUERY = (
    "context",
    "index_timeout_s",
    "password_env",
    "query_prefix",
    "search_params",
    "threads",
    "timeout_s",
    "token_env",
    "user_env",
)
"""Parameters of a store or an embedding model that leave the stored rows as they are."""


def _collection(
    store: StorePlan, corpus: CorpusPlan, groups: Iterable[GroupPlan], embedders: Iterable[ModelPlan]
) -> str:
    """Fingerprint of what determines the stored nodes and vectors; threads and the like do not."""
    parts = {
        "store": store_of_rows(store),
        "corpus": [corpus_paths(corpus), corpus.readers],
        "groups": [[g.name, g.parent, g.kind, g.params, g.embed] for g in groups],
        "embed": [[m.name, m.kind, _without(m.params, _of_the_query)] for m in embedders],
    }
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:12]


def store_of_rows(store: StorePlan) -> list[Any]:
    """Kind and parameters of a store, less those that leave its rows as they are."""
    return [store.kind, _without(store.params, _of_the_query)]


def corpus_paths(corpus: CorpusPlan) -> list[str]:
    """The paths of a corpus, absolute."""
    return [_absolute(path) for path in corpus.paths]


def _of_the_query(key: str, value: object) -> bool:
    return key in OF_THE_QUERY


def _absolute(path: str) -> str:
    return path if path.startswith("pkg://") else str(Path(path).expanduser().absolute())
