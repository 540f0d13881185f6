"""From a plan to the LazyLLM graph that answers questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import lazyllm
from lazyllm.tools.rag import DocNode, Document

from confrag.build.answer import Quote, Refuse, Write
from confrag.build.cache.compile import cached_answer, cached_recall
from confrag.build.cache.policy import AnswerCache
from confrag.build.expand import Expand
from confrag.build.gate import Gate
from confrag.build.indices.own import own_index
from confrag.build.models.chat import ChatModel
from confrag.build.models.extractive import Extractive
from confrag.build.private.store import embeds
from confrag.build.private.stored_nodes import StoredNodes
from confrag.build.prompting import Context, Room
from confrag.build.route import Route
from confrag.build.steps.parts import Child, Parts
from confrag.build.trace import current
from confrag.build.writing import Writer
from confrag.plan.model import Plan, StepPlan
from confrag.registry import builder
from confrag.schema.templates import Template

__all__ = ["Graph", "ask", "build_graph", "build_recall"]


@dataclass(frozen=True)
class Graph:
    """The compiled graph.

    Attributes:
        recall: question -> nodes.
        whole: question -> Reply; `recall` is its first step.
    """

    recall: Any
    whole: Any


def build_graph(
    plan: Plan,
    document: Document,
    models: Mapping[str, Any],
    indices: Mapping[str, str],
    cache: AnswerCache | None,
    resources: ExitStack,
    gate: Gate | None = None,
) -> Graph:
    """Compile the recall and the answer.

    Args:
        plan: what to build.
        document: LazyLLM's document with the node groups of the plan.
        models: the models of the plan, by name.
        indices: similarity mode -> name of the index that answers it.
        cache: of the plan, if it has one.
        resources: what the steps open is closed with it.
        gate: closed while rows are being changed; None: they never are.
    """
    gate = gate or Gate()
    expand = Expand(StoredNodes(document), {group.name: group.parent for group in plan.groups})
    routes = {
        r.name: Route(
            r.name,
            document,
            expand,
            group=r.group,
            target=r.target,
            window=r.window,
            topk=r.topk,
            similarity=r.similarity,
            index=own_index(r.index) if r.index else indices[r.mode],
            cut_off=r.cut_off,
            embed_keys=r.embed_keys,
            filters=r.filters,
            doc_fields=plan.corpus.doc_fields,
            gate=gate,
        )
        for r in plan.retrievers
    }
    parts = Parts(routes, models, embeds(document), resources)
    # A flow that is built inside another one's `with` block becomes a step of it.
    recall, answer = build_recall(plan.recall, parts), _answer(plan, models[plan.answer.model])
    of_answers = plan.cache is not None and plan.cache.scope == "answer"
    if cache and not of_answers:
        recall = cached_recall(cache, recall)
    with lazyllm.pipeline() as whole:
        whole.recall = recall
        whole.answer = lazyllm.ifs(_found, answer, Refuse(plan.answer.no_source)) | lazyllm.bind(question=whole.input)
    return Graph(recall, cached_answer(cache, whole) if cache and of_answers else whole)


def ask(flow: Any, question: str) -> Any:
    """What a flow gives for a question, in a session of its own."""
    with lazyllm.new_session():
        return flow(question)


def _found(nodes: Sequence[DocNode], question: str) -> bool:
    if trace := current():
        trace.found = nodes
    return bool(nodes)


def build_recall(step: StepPlan, parts: Parts) -> Any:
    """A step of a recall, with all below it."""
    children = {child.name: Child(child, build_recall(child, parts)) for child in step.children}
    return builder("steps", step.kind)(parts, children, **step.params)


def _answer(whole: Plan, model: ChatModel | Extractive) -> Any:
    plan = whole.answer
    if isinstance(model, Extractive):
        return Quote(plan.quoted, model.passages, model.max_chars)
    system, user = Template("prompts.answer.system", plan.system), Template("prompts.answer.user", plan.user)
    fields = whole.corpus.doc_fields
    context = Context(system, user, plan.citations, plan.context_tokens, Room(model, plan.max_tokens), fields)
    with lazyllm.pipeline() as answer:
        answer.context = context
        writer = Writer(model, temperature=plan.temperature, max_tokens=plan.max_tokens)
        answer.llm = Write(writer, plan.citations == "number")
    return answer
