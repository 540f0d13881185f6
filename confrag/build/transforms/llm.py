"""Transforms `llm_qa` and `llm_summary`: nodes that a chat model writes about each node of the parent group.

LazyLLM's LLMParser does the same from inside its own ingest: a call for each node of one document after the other,
again at every start, and nothing is repeated when it fails. Its question-answer pairs are every two lines of the reply,
whatever they are. Here a transform only says what is asked and reads what comes back; when and how often the model is
called is for `confrag.runtime.asking`. The nodes are LazyLLM's: the text of a QADocNode, which is searched, is the
question, and its answer is stored beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lazyllm.tools.rag import DocNode, NodeTransform
from lazyllm.tools.rag.doc_node import QADocNode

from confrag.build.models.talk import CUT
from confrag.schema.node_prompts import TEXT

__all__ = ["UnusableReplyError", "Written", "llm_qa", "llm_summary"]

_MARK = re.compile(
    r"^[^\w\n]*(?:\d+[^\w\n]+)?"
    r"(?:(?P<question>question|q|问题|问)|answer|a|答案|回答|答)[ \t]*\d*[^\w\n]{0,3}?[:：]",
    re.IGNORECASE | re.MULTILINE,
)
"""Begins a question or an answer: ``Q:``, ``**Question 2:**``, ``- 问题1：``."""
_NONE = re.compile(r"\W*(?:none|无|没有)\W*", re.IGNORECASE)


class UnusableReplyError(Exception):
    """What a model wrote is not what it was asked for."""


class Written(NodeTransform):  # type: ignore[misc]
    """What a chat model is asked about a text, and the nodes that its reply becomes.

    Args:
        prompt: the message, with ``{text}`` where the text goes.
        parse: from a reply to nodes; raises UnusableReplyError.
    """

    def __init__(self, prompt: str, parse: Callable[[str], list[DocNode]]) -> None:
        super().__init__()
        self._prompt = prompt
        self._parse = parse

    def message(self, text: str) -> str:
        """What is asked about a text; it is put in as it is, braces and all."""
        return self._prompt.replace(TEXT, text)

    def nodes(self, reply: str) -> list[DocNode]:
        """The nodes in a reply; none are fine where the model says that there is nothing to write.

        Raises:
            UnusableReplyError: the reply is not in the form that was asked for.
        """
        return self._parse(reply)

    def given(self, replies: Mapping[str, str]) -> Callable[[DocNode], list[DocNode]]:
        """From a parent to its nodes, by the reply about its text; none where there is none that can be used."""

        def nodes(parent: DocNode) -> list[DocNode]:
            try:
                return self.nodes(replies[parent.text]) if parent.text in replies else []
            except UnusableReplyError:
                return []

        return nodes


def _pairs(reply: str) -> list[DocNode]:
    """The pairs of question and answer in a reply, each question once; an answer that was cut short is left out."""
    if _NONE.fullmatch(reply):
        return []
    marks = list(_MARK.finditer(reply))
    ends = [*(mark.start() for mark in marks[1:]), len(reply)]
    found: dict[str, QADocNode] = {}
    question = ""
    for mark, end in zip(marks, ends, strict=False):
        text = reply[mark.end() : end].strip(" \t\r\n*")
        if mark["question"]:
            question = text
            continue
        if question and text and not text.endswith(CUT):
            found.setdefault(question.casefold(), QADocNode(query=question, answer=text))
        question = ""
    if not found:
        raise UnusableReplyError("no line that begins with Q: is followed by one that begins with A:")
    return list(found.values())


def _summary(reply: str) -> list[DocNode]:
    text = reply.strip()
    if not any(char.isalnum() for char in text):
        raise UnusableReplyError("it is empty")
    return [DocNode(text=text)]


def llm_qa(*, prompt: str, **asking: Any) -> Written:
    """Questions with their answers. How the model is asked (`asking`) is no matter of the nodes."""
    return Written(prompt, _pairs)


def llm_summary(*, prompt: str, **asking: Any) -> Written:
    """A summary. How the model is asked (`asking`) is no matter of the nodes."""
    return Written(prompt, _summary)
