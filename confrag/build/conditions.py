"""Whether a declared condition holds of a question."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confrag.build.trace import current

__all__ = ["holds", "language", "words"]

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_WORD = re.compile(rf"{_HAN.pattern}|(?:(?!{_HAN.pattern})\w)+")


def holds(when: Mapping[str, Any], question: str) -> bool:
    """Whether all parts of a condition hold (see `confrag.schema.conditions.ConditionSpec`; None is no part)."""
    return all(_CHECKS[name](wanted, question) for name, wanted in when.items() if wanted is not None)


def words(text: str) -> int:
    """Number of words; each Chinese character counts as one."""
    return len(_WORD.findall(text))


def language(text: str) -> str:
    """``zh`` when at least a third of the letters are Chinese characters, else ``en``."""
    letters = sum(character.isalpha() for character in text)
    return "zh" if letters and 3 * len(_HAN.findall(text)) >= letters else "en"


def _within(bounds: Mapping[str, Any], length: int) -> bool:
    return bounds["min"] <= length and (bounds["max"] is None or length <= bounds["max"])


def _filtered_by(names: Collection[str]) -> bool:
    trace = current()
    return trace is not None and all(name in trace.filtered_by for name in names)


_CHECKS: Mapping[str, Callable[[Any, str], bool]] = {
    "chars": lambda wanted, question: _within(wanted, len(question)),
    "words": lambda wanted, question: _within(wanted, words(question)),
    "language": lambda wanted, question: language(question) == wanted,
    "pattern": lambda wanted, question: re.search(wanted, question) is not None,
    "filtered_by": lambda wanted, question: _filtered_by(wanted),
}
