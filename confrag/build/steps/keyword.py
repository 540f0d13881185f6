"""Recall step `keyword`: keep nodes by the words in them.

LazyLLM's KeywordFilter says the same, but keeps the words of all filters of a language in one matcher, so that those
of one filter count for the next one, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lazyllm.tools.rag import DocNode

from confrag.build.nodes import passage
from confrag.build.steps.parts import Children, Parts

__all__ = ["build", "matcher"]


def matcher(words: Sequence[str], *, ignore_case: bool) -> re.Pattern[str]:
    """What finds one of some words or phrases in a text, as whole words where a script has spaces between words."""
    return re.compile("|".join(map(_whole, words)), re.IGNORECASE if ignore_case else 0)


def _whole(word: str) -> str:
    # Chinese characters are words to a regular expression, but stand without spaces.
    before = r"(?<![A-Za-z0-9_])" if re.match(r"[A-Za-z0-9_]", word) else ""
    after = r"(?![A-Za-z0-9_])" if re.search(r"[A-Za-z0-9_]\Z", word) else ""
    return before + r"\s+".join(map(re.escape, word.split())) + after


def build(
    parts: Parts, children: Children, *, required: Sequence[str], excluded: Sequence[str], ignore_case: bool
) -> Any:
    """A step that keeps the nodes with one of the required words and none of the excluded ones."""
    wanted = matcher(required, ignore_case=ignore_case) if required else None
    unwanted = matcher(excluded, ignore_case=ignore_case) if excluded else None

    def keyword(nodes: list[DocNode], query: str = "") -> list[DocNode]:
        return [
            node
            for node in nodes
            if (wanted is None or wanted.search(passage(node))) and not (unwanted and unwanted.search(passage(node)))
        ]

    return keyword
