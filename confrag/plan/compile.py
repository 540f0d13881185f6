"""From a validated configuration to a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from confrag.plan.caching import plan_cache
from confrag.plan.model import (
    AnswerPlan,
    CorpusPlan,
    GroupPlan,
    IndexPlan,
    ModelPlan,
    Params,
    Plan,
    RetrieverPlan,
    StepPlan,
    StorePlan,
    canonical,
)
from confrag.schema.cache import SemanticSpec
from confrag.schema.filters import parse
from confrag.schema.indices import EmbeddingIndexSpec
from confrag.schema.milvus_route import MilvusRouteSpec
from confrag.schema.nodes import ROOT, WrittenSpec
from confrag.schema.retrieval import SIMILARITIES, RetrieverSpec
from confrag.schema.root import Config
from confrag.schema.steps import ParallelSpec, RetrieveSpec, RewriteSpec, StepSpec
from confrag.schema.store import ChromaStoreSpec, MapStoreSpec, SplitStoreSpec, StoreSpec

__all__ = ["OF_THE_QUERY", "compile_plan", "corpus_paths", "model_plan", "params_of_rows", "store_of_rows"]


def compile_plan(config: Config, name: str | None = None) -> Plan:
    """Resolve a configuration: drop what is unused, spell out what is implied."""
    embedders = [key for key, model in config.models.items() if model.role == "embed"]
    indices = tuple(_indices(config, embedders))
    by_name = {index.name: index for index in indices}
    retrievers = tuple(
        _through(by_name.get(spec.index), _retriever(key, spec, embedders, _types(config)))
        for key, spec in config.retrievers.items()
    )
    groups = _groups(config, retrievers)
    recall = _step("recall", config.recall, config)
    corpus = CorpusPlan(
        config.corpus.path,
        config.corpus.include,
        config.corpus.exclude,
        Params(config.corpus.readers),
        config.corpus.on_error,
        tuple((given.glob or name, Params(given.values)) for name, given in config.corpus.metadata.items()),
        Params(_types(config)),
    )
    store = _store(config.store_conf)
    by_steps = [step.params["model"] for step in recall.walk() if "model" in step.params]
    near = [config.cache.model] if isinstance(config.cache, SemanticSpec) else []
    used = [*_embedders(groups, retrievers), *by_steps, *near, config.generation.model]
    writers = [group.model for group in groups if group.model]
    stand_ins = [name for key in (*used, *writers) for name in getattr(config.models[key], "fallback", ())]
    models = tuple(model_plan(config, key) for key in dict.fromkeys([*used, *writers, *stand_ins]))
    of_rows = {*_embedders(groups, retrievers), *writers}
    collection = _collection(store, corpus, groups, [m for m in models if m.name in of_rows])
    answer = AnswerPlan(
        model=config.generation.model,
        system=config.prompts.answer.system,
        user=config.prompts.answer.user,
        citations=config.prompts.answer.citations,
        no_source=config.prompts.no_source,
        quoted=config.prompts.quoted,
        temperature=config.generation.temperature,
        max_tokens=config.generation.max_tokens,
        context_tokens=config.generation.context_tokens,
    )
    retrieval = [collection, store, retrievers, recall, indices]
    return Plan(
        name=name or "custom",
        collection=collection,
        state_dir=config.state_dir,
        embedding_cache_mb=config.embedding_cache.max_mb,
        lock_timeout_s=config.lock_timeout_s,
        corpus=corpus,
        store=store,
        groups=groups,
        models=models,
        retrievers=retrievers,
        recall=recall,
        answer=answer,
        indices=indices,
        cache=plan_cache(config.cache, retrieval, answer, models, config.generation.model),
    )


def _types(config: Config) -> dict[str, str]:
    """The metadata that may be filtered by, with their types."""
    return {name: field.type for name, field in config.doc_fields.items()}


def _retriever(name: str, spec: RetrieverSpec, embedders: list[str], fields: Mapping[str, str]) -> RetrieverPlan:
    mode = SIMILARITIES[spec.similarity]
    keys = (spec.embed_keys or tuple(embedders)) if mode == "embedding" else ()
    target = None if spec.target == spec.group else spec.target
    filters = parse(spec.filters, fields, f"retrievers.{name}.filters")
    return RetrieverPlan(
        name, spec.group, target, spec.topk, spec.similarity, mode, spec.similarity_cut_off, keys, spec.window, filters
    )


def _indices(config: Config, embedders: list[str]) -> Iterator[IndexPlan]:
    """The indices of one's own that a retriever asks."""
    used = {retriever.index for retriever in config.retrievers.values()}
    for name, spec in config.indices.items():
        if name not in used:
            continue
        key = None
        if isinstance(spec, EmbeddingIndexSpec):
            key = spec.embed_key or (config.node_groups[spec.group].embed or embedders)[0]
        params = spec.model_dump(exclude={"kind", "group", "embed_key"})
        yield IndexPlan(name, spec.kind, spec.group, key, Params(params))


def _through(index: IndexPlan | None, retriever: RetrieverPlan) -> RetrieverPlan:
    """A retriever by an index of one's own, which says itself what it compares."""
    if index is None:
        return retriever
    if index.embed_key is None:
        return replace(retriever, index=index.name, similarity=None, mode="text", embed_keys=())
    return replace(retriever, index=index.name, embed_keys=(index.embed_key,))


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
        params, model = spec.transform.model_dump(exclude={"kind"}), None
        if isinstance(spec.transform, WrittenSpec):
            # Spelt out: a packaged prompt may be another one in the next version.
            params["prompt"], model = spec.transform.message, spec.transform.model
        result.append(GroupPlan(group, spec.parent, spec.transform.kind, Params(params), embed, model))
    return tuple(result)


def _embedders(groups: Iterable[GroupPlan], retrievers: Iterable[RetrieverPlan]) -> list[str]:
    keys = [key for group in groups for key in group.embed]
    return keys + [key for retriever in retrievers for key in retriever.embed_keys]


def _step(name: str, spec: StepSpec, config: Config, path: str = "recall") -> StepPlan:
    below = path + {"parallel": ".branches", "pipeline": ".steps"}.get(spec.kind, "")
    children = tuple(_step(key, child, config, f"{below}.{key}") for key, child in spec.below().items())
    params = spec.model_dump(exclude={"kind", "branches", "steps", "then", "else_"})
    if isinstance(spec, ParallelSpec):
        params["merge"] = _merge(spec, config.retrievers)
    if isinstance(spec, RewriteSpec):
        params["prompt"] = config.prompts.rewrite
    if isinstance(spec, MilvusRouteSpec):
        params |= {"name": name, "path": path}
    takes, gives = spec.flows()
    return StepPlan(name, spec.kind, Params(params), children, takes, gives)


def _merge(spec: ParallelSpec, retrievers: Mapping[str, RetrieverSpec]) -> dict[str, Any]:
    """The merge rule, with the weight and priority of every branch."""
    rule = spec.merge.model_dump()
    for key, of_route, default in (("weights", "weight", 1.0), ("priorities", "priority", "normal")):
        if key not in rule:
            continue
        for name, branch in spec.branches.items():
            own = getattr(retrievers[branch.retriever], of_route) if isinstance(branch, RetrieveSpec) else default
            rule[key].setdefault(name, own)
        rule[key] = {name: rule[key][name] for name in spec.branches}
    return rule


def model_plan(config: Config, name: str) -> ModelPlan:
    """A model of a configuration, whether the pipeline uses it or not."""
    spec = config.models[name]
    params = spec.model_dump(exclude={"role", "kind", "price"})
    if "state_dir" in params:
        params["state_dir"] = params["state_dir"] or config.state_dir
    return ModelPlan(name, spec.role, spec.kind, Params(params))


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
    "api_key_env",
    "backoff_s",
    "batch_chars",
    "batch_texts",
    "concurrency",
    "context",
    "gpu_memory_utilization",
    "index_timeout_s",
    "max_model_len",
    "password_env",
    "port",
    "python",
    "query_prefix",
    "rate_limit",
    "retries",
    "search_params",
    "startup_timeout_s",
    "state_dir",
    "tensor_parallel_size",
    "threads",
    "timeout_s",
    "token_env",
    "user_env",
    "verify_at_start",
)
"""Parameters of a store or a model that leave the stored rows as they are."""


def _collection(store: StorePlan, corpus: CorpusPlan, groups: Iterable[GroupPlan], models: Iterable[ModelPlan]) -> str:
    """Fingerprint of what determines the stored nodes and vectors; threads and the like do not."""
    parts = {
        "store": store_of_rows(store),
        "corpus": [corpus_paths(corpus), corpus.readers],
        "groups": [[g.name, g.parent, g.kind, params_of_rows(g), g.embed] for g in groups],
        "embed": [[m.name, m.kind, _without(m.params, _of_the_query)] for m in models],
        **({"doc_fields": corpus.doc_fields} if corpus.doc_fields else {}),
    }
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:12]


def params_of_rows(group: GroupPlan) -> Mapping[str, Any]:
    """The parameters of a group's transform, less those that only say how a model is asked."""
    asking = ("concurrency", "max_calls", "retries") if group.model else ()
    return {key: value for key, value in group.params.items() if key not in asking}


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
