"""The plan as a graph: for people (text, Mermaid) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from confrag.plan.model import CachePlan, GroupPlan, IndexPlan, ModelPlan, Params, Plan, RetrieverPlan, StepPlan, thaw
from confrag.schema.nodes import ROOT

__all__ = ["describe", "draw"]


@dataclass(frozen=True, slots=True)
class _Node:
    id: str
    kind: str
    label: str
    span: str = ""
    """What its time is recorded as, ``stage:name``; empty where none is."""


@dataclass(frozen=True, slots=True)
class _Edge:
    source: str
    target: str


def draw(plan: Plan, form: str) -> str:
    """The plan as `text`, `mermaid` or `json`."""
    if form == "json":
        return json.dumps(describe(plan), ensure_ascii=False, indent=2)
    return _mermaid(plan) if form == "mermaid" else _text(plan)


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as plain data: ``nodes`` and ``edges`` of the graph, and the plan itself."""
    nodes, edges = _graph(plan)
    return {
        "name": plan.name,
        "collection": plan.collection,
        "nodes": [{key: value for key, value in asdict(node).items() if value} for node in nodes],
        "edges": [asdict(edge) for edge in edges],
        "plan": _data(plan),
    }


def _data(value: Any) -> Any:
    if isinstance(value, Params):
        return value.thaw()
    if isinstance(value, tuple):
        return [_data(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _data(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def _call(name: str, params: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key}={thaw(value)!r}" for key, value in params.items() if value not in (None, "", ()))
    return f"{name}({shown})" if shown else name


def _group_label(group: GroupPlan) -> str:
    suffix = f" [{', '.join(group.embed)}]" if group.embed else ""
    return f"{group.name}: {_call(group.kind, _without_prompt(group.params))}{suffix}"


def _retriever_label(retriever: RetrieverPlan) -> str:
    by = f"{retriever.similarity} [{', '.join(retriever.embed_keys)}]" if retriever.embed_keys else retriever.similarity
    by = ", ".join([*([by] if by else []), *([f"index {retriever.index}"] if retriever.index else [])])
    target = f" -> {retriever.target}" if retriever.target else ""
    target += f", {retriever.window} neighbours on each side," if retriever.window else ""
    cut = f", at least {retriever.cut_off}" if retriever.cut_off is not None else ""
    return f"{retriever.name}: {retriever.group}{target} by {by}, top {retriever.topk}{cut}"


def _index_label(index: IndexPlan) -> str:
    of = f"{index.group} [{index.embed_key}]" if index.embed_key else index.group
    return f"{index.name}: {_call(index.kind, index.params)} of {of}"


def _model_label(model: ModelPlan) -> str:
    what = model.params.get("model")
    return f"{model.name}: {model.role}, {model.kind}" + (f", {what}" if what else "")


def _step_label(plan: Plan, step: StepPlan) -> str:
    if step.kind == "retrieve":
        return _retriever_label(plan.retriever(step.params["retriever"]))
    if step.kind == "parallel":
        params = step.params
        top = f", top {params['topk']}" if params["topk"] else ""
        late = f", {params['deadline_s']:g} s each" if params["deadline_s"] else ""
        partial = ", or partial" if params["on_error"] == "partial" else ""
        return f"{step.name}: parallel, merged by {_merge_label(params['merge'])}{top}{late}{partial}"
    if step.kind == "ifs":
        return f"{step.name}: if {_condition(step.params['when'])}"
    told = {key: value for key, value in _without_prompt(step.params).items() if key not in ("name", "path")}
    return f"{step.name}: {_call(step.kind, told)}"


def _without_prompt(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key != "prompt"}  # a text of many lines


_USUAL: tuple[Any, ...] = ({}, "node", 1.0, "normal")


def _merge_label(merge: Mapping[str, Any]) -> str:
    shown: dict[str, Any] = {}
    for key, value in merge.items():
        if isinstance(value, Params):
            value = {name: of_branch for name, of_branch in thaw(value).items() if of_branch not in _USUAL}
        if key != "kind" and value not in _USUAL:
            shown[key] = value
    return _call(merge["kind"], shown)


def _condition(when: Mapping[str, Any]) -> str:
    return " and ".join(f"{key} {_bound(thaw(value))}" for key, value in when.items() if value is not None)


def _bound(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    return ", ".join(f"{key} {bound}" for key, bound in value.items() if bound is not None)


def _cache_label(cache: CachePlan) -> str:
    what = "the answer" if cache.scope == "answer" else "what is retrieved"
    near = f" or near (at least {cache.threshold:g} by {cache.model})" if cache.model else ""
    return f"if the question is known{near}: {what} from {cache.backend}"


def _text(plan: Plan) -> str:
    answer = plan.answer
    lines = [
        f"{plan.name} (collection {plan.collection})",
        f"corpus: {', '.join(plan.corpus.paths)}",
        f"store: {_call(plan.store.kind, plan.store.params)}",
        "node groups",
        *_tree([(_group_label(g), list(_below(plan, g.name))) for g in plan.groups if g.parent == ROOT]),
        *(["indices", *_tree([(_index_label(index), []) for index in plan.indices])] if plan.indices else []),
        "models",
        *_tree([(_model_label(model), []) for model in plan.models]),
        *(["cache", *_tree([(_cache_label(plan.cache), [])])] if plan.cache else []),
        "recall",
        *_tree([_branch(plan, step) for step in (plan.recall.children or (plan.recall,))]),
        "answer",
        *_tree(
            [
                (f"context: at most {answer.context_tokens} tokens, numbered sources", []),
                (f"{answer.model}: temperature {answer.temperature}, at most {answer.max_tokens} tokens", []),
            ]
        ),
    ]
    return "\n".join(lines)


_Branch = tuple[str, list[Any]]


def _below(plan: Plan, parent: str) -> Iterator[_Branch]:
    for group in plan.groups:
        if group.parent == parent:
            yield _group_label(group), list(_below(plan, group.name))


def _branch(plan: Plan, step: StepPlan) -> _Branch:
    return _step_label(plan, step), [_branch(plan, child) for child in step.children]


def _tree(branches: list[_Branch], indent: str = "") -> Iterator[str]:
    for number, (label, below) in enumerate(branches):
        last = number == len(branches) - 1
        yield f"{indent}{'└─ ' if last else '├─ '}{label}"
        yield from _tree(below, indent + ("   " if last else "│  "))


def _graph(plan: Plan) -> tuple[list[_Node], list[_Edge]]:
    """Nodes and edges in the direction of the data: corpus -> groups -> routes -> ... -> answer."""
    nodes = [_Node("corpus", "corpus", f"corpus: {', '.join(plan.corpus.paths)}")]
    edges: list[_Edge] = []
    for group in plan.groups:
        nodes.append(_Node(f"group.{group.name}", "node_group", _group_label(group)))
        edges.append(_Edge("corpus" if group.parent == ROOT else f"group.{group.parent}", f"group.{group.name}"))
    nodes.append(_Node("query", "query", "question"))
    asked = "query"
    if plan.cache:
        asked = "cache"
        nodes.append(_Node("cache", "ifs", _cache_label(plan.cache), "cache:look"))
        edges.append(_Edge("query", "cache"))
        edges.append(_Edge("cache", "answer" if plan.cache.scope == "answer" else "context"))
    ends = _flow(plan, plan.recall, "recall", [asked], nodes, edges)
    nodes.append(_Node("context", "context", f"context: {plan.answer.context_tokens} tokens"))
    model = plan.model(plan.answer.model)
    writer = "extractive" if model.kind == "extractive" else "llm"
    nodes.append(_Node("llm", "model", _model_label(model), f"generate:{writer}"))
    nodes.append(_Node("answer", "answer", "answer with sources"))
    edges += [*(_Edge(end, "context") for end in ends), _Edge("context", "llm"), _Edge("llm", "answer")]
    return nodes, edges


def _flow(
    plan: Plan, step: StepPlan, path: str, sources: list[str], nodes: list[_Node], edges: list[_Edge]
) -> list[str]:
    """Add a step behind `sources`; returns the nodes that its result comes out of."""
    if step.kind == "pipeline":
        for child in step.children:
            sources = _flow(plan, child, f"{path}.{child.name}", sources, nodes, edges)
        return sources
    if step.kind in ("parallel", "ifs"):
        ends = [_flow(plan, child, f"{path}.{child.name}", sources, nodes, edges) for child in step.children]
        kind = "merge" if step.kind == "parallel" else step.kind
        nodes.append(_Node(path, kind, _step_label(plan, step)))
        edges += [_Edge(end, path) for branch in ends for end in branch]
        return [path]
    nodes.append(_Node(path, step.kind, _step_label(plan, step), _span(step)))
    edges += [_Edge(source, path) for source in sources]
    if step.kind == "retrieve":
        edges.append(_Edge(f"group.{plan.retriever(step.params['retriever']).group}", path))
    return [path]


def _span(step: StepPlan) -> str:
    """What `confrag.build` records the time of a step as."""
    if step.kind in ("retrieve", "milvus"):
        return f"retrieve:{step.params['retriever'] if step.kind == 'retrieve' else step.name}"
    return {"rerank": "rerank:rerank", "mmr": "rerank:mmr", "rewrite": "rewrite:llm"}.get(step.kind, "")


def _mermaid(plan: Plan) -> str:
    nodes, edges = _graph(plan)
    short = {node.id: f"n{number}" for number, node in enumerate(nodes)}
    lines = ["flowchart TD"]
    lines += [f'    {short[node.id]}["{_escape(node.label)}"]' for node in nodes]
    lines += [f"    {short[edge.source]} --> {short[edge.target]}" for edge in edges]
    return "\n".join(lines)


_MARKS = str.maketrans({"#": "#35;", "&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;", "\n": " "})


def _escape(label: str) -> str:
    return label.translate(_MARKS)
