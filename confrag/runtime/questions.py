"""Questions on their way through the compiled graph."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import lazyllm

from confrag.build.answer import Reply
from confrag.build.cache.policy import AnswerCache, Looked
from confrag.build.cache.values import to_reply
from confrag.build.graph import Graph
from confrag.build.trace import Trace, tracing
from confrag.errors import ConfragError, StoreError, UserError, confrag_error
from confrag.plan.model import Plan
from confrag.runtime.answering import FirstPiece, answer_of, hit_of
from confrag.runtime.collection import Collection
from confrag.runtime.results import Answer, Found
from confrag.schema.filters import Filters
from confrag.schema.history import History

__all__ = ["Questions"]

_log = logging.getLogger("confrag")
_ATTEMPTS = 8
"""Of a question, while another process writes: each may meet another of its exchanges."""


class Questions:
    """Answers questions from an open collection, several at once. What the methods raise is told at `App`.

    Attributes:
        graph: that they go through.

    Args:
        plan: of the graph.
        graph: compiled.
        collection: open.
        cache: of the graph; None: it has none.
    """

    def __init__(self, plan: Plan, graph: Graph, collection: Collection, cache: AnswerCache | None) -> None:
        self.graph = graph
        self._collection = collection
        # What is found without the graph must be what the whole of it would give.
        self._whole_answers = cache if plan.cache and plan.cache.scope == "answer" else None
        self._fields = plan.corpus.doc_fields

    def ask(
        self,
        query: str,
        filters: Filters,
        history: History,
        sink: Callable[[str], None] | None,
        given_up: threading.Event | None,
    ) -> Answer:
        """The answer; its pieces go to `sink` meanwhile."""
        begun = time.perf_counter()
        first = FirstPiece(sink, begun) if sink else None
        trace = Trace(sink=first, given_up=given_up, filters=filters, history=history)
        reply: Reply = self._run(self.graph.whole, query, trace)
        return answer_of(query, reply, trace, self._fields, begun, first.timing if first else {})

    def known(self, query: str, filters: Filters, history: History) -> tuple[Answer, Looked] | None:
        """An answer that this process has in memory, with what the cache keeps of it; None where there is none."""
        if self._whole_answers is None:
            return None
        begun = time.perf_counter()
        trace = Trace(filters=filters, history=history, cached=True)
        looked = self._whole_answers.peek(query, trace) if query.strip() else None
        if looked is None or looked.value is None:
            return None
        trace.rewritten = looked.value.get("rewritten")
        return answer_of(query, to_reply(looked.value), trace, self._fields, begun), looked

    def find(
        self, query: str, topk: int | None, filters: Filters, history: History, given_up: threading.Event | None
    ) -> Found:
        """What the recall finds; hits beyond `topk` are given, too, where a step of it has them."""
        begun = time.perf_counter()
        trace = Trace(limit=topk, given_up=given_up, filters=filters, history=history)
        nodes = self._run(self.graph.recall, query, trace)
        total = round((time.perf_counter() - begun) * 1000, 3)
        return Found(
            hits=tuple(hit_of(node, self._fields) for node in nodes),
            timings_ms={
                **{stage: trace.milliseconds(stage) for stage in ("rewrite", "retrieve", "rerank")},
                "total": total,
            },
            tokens=trace.tokens,
            cached=trace.cached,
            missing=dict(trace.missing),
            spent=trace.spent,
        )

    def warm_up(self, query: str) -> None:
        """Through the recall once, and past the cache."""
        self._run(self.graph.recall, query, Trace(uncached=True))

    def _run(self, flow: Any, query: str, trace: Trace) -> Any:
        if not query.strip():
            raise UserError("query: the question is empty")
        self._collection.refresh()
        with lazyllm.new_session(), tracing(trace):
            for _ in range(_ATTEMPTS - 1):
                trace.last_attempt = False
                try:
                    return _through(flow, query, trace)
                except StoreError as error:
                    # Another process may have taken away what an index in memory still has.
                    _log.info("asking once more: %s", error)
                    self._collection.refresh(anyway=True)
                    trace.error = None
            trace.last_attempt = True
            return _through(flow, query, trace)


def _through(flow: Any, query: str, trace: Trace) -> Any:
    try:
        return flow(query)
    except ConfragError:
        raise
    except Exception as error:
        trace.go_on()
        # LazyLLM wraps the error of a step and drops its type.
        cause = trace.error or confrag_error(error)
        if cause is None or isinstance(cause, type(error)):
            raise
        raise cause from None
