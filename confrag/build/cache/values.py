"""What is kept of an answer: plain data, so that a shared place can hold nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lazyllm.tools.rag import DocNode

from confrag.build.answer import Reply
from confrag.build.private.nodes import from_record, to_record
from confrag.build.trace import Trace

__all__ = ["of_nodes", "of_reply", "to_nodes", "to_reply"]

FORMAT = 2
"""To be raised when values are written differently; it is part of every key."""


def of_nodes(nodes: Sequence[DocNode], trace: Trace, seconds: float) -> dict[str, Any]:
    """What a recall gave.

    Args:
        nodes: best first.
        trace: of the question.
        seconds: that it took.
    """
    return {"nodes": [to_record(node) for node in nodes], **_costs(trace, seconds)}


def of_reply(reply: Reply, trace: Trace, seconds: float) -> dict[str, Any]:
    """An answer."""
    cited = {"citations": list(reply.citations), "dangling": reply.dangling}
    return {"text": reply.text, **cited, **of_nodes(reply.nodes, trace, seconds)}


def _costs(trace: Trace, seconds: float) -> dict[str, Any]:
    return {"rewritten": trace.rewritten, "seconds": round(seconds, 4), "tokens": [*trace.tokens.values()]}


def to_nodes(value: Mapping[str, Any]) -> list[DocNode]:
    """The nodes of an entry, fresh ones each time: steps change the nodes that they are given."""
    return [from_record(record) for record in value["nodes"]]


def to_reply(value: Mapping[str, Any]) -> Reply:
    """The answer of an entry."""
    return Reply(str(value["text"]), tuple(to_nodes(value)), tuple(value["citations"]), int(value["dangling"]))
