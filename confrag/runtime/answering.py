"""From what the graph gives to what the engine gives back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from lazyllm.tools.rag import DocNode
from lazyllm.tools.rag.doc_node import QADocNode

from confrag.build.answer import Reply
from confrag.build.nodes import metadata_of, passage
from confrag.build.trace import Trace
from confrag.runtime.results import Answer, Hit, Step
from confrag.schema.filters import FILE

__all__ = ["FirstPiece", "answer_of", "hit_of"]


def answer_of(
    query: str,
    reply: Reply,
    trace: Trace,
    doc_fields: Mapping[str, str],
    begun: float,
    more: Mapping[str, float] = MappingProxyType({}),
) -> Answer:
    """The answer to a question.

    Args:
        query: the question.
        reply: of the graph.
        trace: what was recorded meanwhile.
        doc_fields: name -> type of the declared metadata.
        begun: when, in seconds of the monotonic clock.
        more: further timings, in milliseconds.
    """
    total = round((time.perf_counter() - begun) * 1000, 3)
    stages = {stage: trace.milliseconds(stage) for stage in ("rewrite", "retrieve", "rerank", "generate")}
    return Answer(
        query=query,
        text=reply.text,
        sources=tuple(hit_of(node, doc_fields) for node in reply.nodes),
        timings_ms={**stages, **more, "total": total},
        tokens=trace.tokens,
        spent=trace.spent,
        cached=trace.cached,
        partial=bool(trace.missing),
        missing=dict(trace.missing),
        rewritten=trace.rewritten,
        citations=reply.citations,
        dangling=reply.dangling,
        history=trace.history,
        spans=tuple(
            Step(s.stage, s.name, round((s.start - begun) * 1000, 3), round((s.end - s.start) * 1000, 3))
            for s in trace.spans
        ),
        found=tuple(hit_of(node, doc_fields) for node in trace.found),
    )


class FirstPiece:
    """Hands pieces on, and remembers how long the first one took."""

    def __init__(self, sink: Callable[[str], None], begun: float) -> None:
        self._sink, self._begun = sink, begun
        self.timing: dict[str, float] = {}

    def __call__(self, piece: str) -> None:
        if not self.timing:
            self.timing = {"first_token": round((time.perf_counter() - self._begun) * 1000, 3)}
        self._sink(piece)


def hit_of(node: DocNode, doc_fields: Mapping[str, str]) -> Hit:
    """A node as it is given back."""
    rerank = node.relevance_score
    metadata = metadata_of(node, doc_fields)
    if isinstance(node, QADocNode):
        metadata |= {"question": node.text, "answer": node.answer}
    return Hit(
        id=node.uid,
        file=str(node.global_metadata.get(FILE, "")),
        group=node.group,
        score=None if node.similarity_score is None else float(node.similarity_score),
        rerank_score=None if rerank is None else float(rerank),
        route="+".join(getattr(node, "routes", ())),
        text=passage(node),
        metadata=metadata,
    )
