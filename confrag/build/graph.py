"""From a plan to the LazyLLM graph that answers questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lazyllm
import tiktoken
from lazyllm.tools.rag import DocNode, Document

from confrag.build.answer import Context, Quote, Refuse, Write
from confrag.build.models.chat import ChatModel
from confrag.build.models.extractive import Extractive
from confrag.build.models.protocols import RerankModel
from confrag.build.route import Route
from confrag.build.steps.parts import Parts
from confrag.plan.model import AnswerPlan, Plan, StepPlan
from confrag.registry import builder

__all__ = ["Graph", "build_graph"]


@dataclass(frozen=True)
class Graph:
    """The compiled graph.

    Attributes:
        recall: question -> nodes.
        whole: question -> Reply; `recall` is its first step.
    """

    recall: Any
    whole: Any


def build_graph(plan: Plan, document: Document, models: Mapping[str, Any], indices: Mapping[str, str]) -> Graph:
    """Compile the recall and the answer.

    Args:
        plan: what to build.
        document: LazyLLM's document with the node groups of the plan.
        models: the models of the plan, by name.
        indices: similarity mode -> name of the index that answers it.
    """
    routes = {
        r.name: Route(
            r.name,
            document,
            group=r.group,
            target=r.target,
            topk=r.topk,
            similarity=r.similarity,
            index=indices[r.mode],
            cut_off=r.cut_off,
            embed_keys=r.embed_keys,
        )
        for r in plan.retrievers
    }
    rerankers: dict[str, RerankModel] = {m.name: models[m.name] for m in plan.models if m.role == "rerank"}
    parts = Parts(routes, {r.name: r.weight for r in plan.retrievers}, rerankers)
    # A flow that is built inside another one's `with` block becomes a step of it.
    recall, answer = _step(plan.recall, parts), _answer(plan.answer, models[plan.answer.model])
    with lazyllm.pipeline() as whole:
        whole.recall = recall
        whole.answer = lazyllm.ifs(_found, answer, Refuse(plan.answer.no_source)) | lazyllm.bind(question=whole.input)
    return Graph(recall, whole)


def _found(nodes: Sequence[DocNode], question: str) -> bool:
    return bool(nodes)


def _step(step: StepPlan, parts: Parts) -> Any:
    children = {child.name: _step(child, parts) for child in step.children}
    return builder("steps", step.kind)(parts, children, **step.params)


def _answer(plan: AnswerPlan, model: ChatModel | Extractive) -> Any:
    if isinstance(model, Extractive):
        return Quote(plan.quoted, model.passages, model.max_chars)
    tokenizer = tiktoken.get_encoding("gpt2")
    with lazyllm.pipeline() as answer:
        answer.context = Context(plan.user, plan.context_tokens, tokenizer.encode_ordinary, tokenizer.decode)
        answer.llm = Write(
            model.module,
            model.place,
            system=plan.system,
            temperature=plan.temperature,
            max_tokens=plan.max_tokens,
        )
    return answer
