"""The cache as a part of the graph: an `ifs` in front of what it stands for, as the tutorial has it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import lazyllm
from lazyllm.tools.rag import DocNode

from confrag.build.answer import Reply
from confrag.build.cache.policy import AnswerCache, Looked
from confrag.build.cache.values import of_nodes, of_reply, to_nodes, to_reply
from confrag.build.trace import Trace, current, span
from confrag.errors import confrag_error

__all__ = ["cached_answer", "cached_recall"]


def cached_recall(cache: AnswerCache, recall: Any) -> Any:
    """question -> nodes, by way of the cache."""
    return _cached(cache, recall, of_nodes, to_nodes)


def cached_answer(cache: AnswerCache, whole: Any) -> Any:
    """question -> Reply, by way of the cache; one that is known is streamed, too, where a stream is wanted."""

    def replay(value: Any) -> Reply:
        reply = to_reply(value)
        trace = current()
        if trace and trace.sink:
            for piece in re.findall(r"\S+\s*|\s+", reply.text):
                trace.sink(piece)
        return reply

    return _cached(cache, whole, of_reply, replay)


def _cached(cache: AnswerCache, flow: Any, to_value: Callable[..., Any], of_value: Callable[[Any], Any]) -> Any:
    def look(question: str) -> Looked:
        trace = current() or Trace()
        if trace.uncached:
            return Looked(question)
        with span("cache", "look"):
            return cache.look(question, trace)

    def is_hit(looked: Looked) -> bool:
        return looked.value is not None

    def hit(looked: Looked) -> Any:
        assert looked.value is not None
        if trace := current():
            trace.cached = True
            trace.rewritten = looked.value.get("rewritten")
        return of_value(looked.value)

    def miss(looked: Looked) -> Any:
        trace = current() or Trace()
        begun = time.perf_counter()
        try:
            result: Reply | Sequence[DocNode] = flow(looked.question)
        except Exception as error:
            # That one no longer wants an answer is no reason for the others to get none.
            unwanted = trace.given_up is not None and trace.given_up.is_set()
            cache.give_up(looked, None if unwanted else trace.error or confrag_error(error) or error)
            raise
        except BaseException:
            cache.give_up(looked)
            raise
        if trace.missing:
            cache.give_up(looked)
        else:
            cache.keep(looked, to_value(result, trace, time.perf_counter() - begun))
        return result

    return lazyllm.pipeline(look, lazyllm.ifs(is_hit, hit, miss))
