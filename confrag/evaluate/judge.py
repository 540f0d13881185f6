"""A chat model that grades answers, and how far it agrees with a metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confrag.schema.templates import Template

__all__ = ["CORRECT", "Agreement", "Grade", "Judge", "agreement", "parse_grade", "score"]

_WORST, CORRECT, _BEST = 1, 4, 5
"""Of the grades; from `CORRECT` on an answer counts as right."""
MAX_TOKENS = 200
"""Of a verdict: a sentence and a grade."""
_VERDICT = re.compile(r"(?:grade|评分)\s*[:：]\s*([1-5])\s*[.。]?", re.IGNORECASE)


@dataclass(frozen=True)
class Grade:
    """A verdict: the whole `reply`, and the `grade` in it; None where there is no such thing."""

    grade: int | None
    reply: str


class Judge:
    """Grades answers from 1 to 5.

    Args:
        say: the model: system, message -> its text.
        system: template of what it is told about its task.
        user: template of the message.
    """

    def __init__(self, say: Callable[[str, str], str], system: str, user: str) -> None:
        self._say = say
        self._system = Template("prompts.judge.system", system)
        self._user = Template("prompts.judge.user", user)

    def __call__(self, values: Mapping[str, Any]) -> Grade:
        """The verdict; `values` are those of `confrag.schema.prompts.JUDGING`."""
        reply = self._say(self._system(values), self._user(values))
        return Grade(parse_grade(reply), reply)


def score(grade: int) -> float:
    """A grade as a number between 0 and 1."""
    return (grade - _WORST) / (_BEST - _WORST)


def parse_grade(reply: str) -> int | None:
    """The grade in the last line of a reply, ``Grade: 4``; None when the line is anything else."""
    lines = reply.strip().splitlines()
    match = _VERDICT.fullmatch(lines[-1].strip().strip("*")) if lines else None
    return int(match[1]) if match else None


@dataclass(frozen=True)
class Agreement:
    """How far two opinions on the same answers agree.

    Attributes:
        kappa: Cohen's, 1 for the same opinion, 0 for what chance would give; None where all
            of them are the same.
        accuracy: share of the answers that both think the same of.
    """

    kappa: float | None
    accuracy: float


def agreement(pairs: Sequence[tuple[bool, bool]]) -> Agreement | None:
    """Of two opinions on each of several answers; None when there are none."""
    if not pairs:
        return None
    accuracy = sum(one == other for one, other in pairs) / len(pairs)
    first, second = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    chance = first * second + (1 - first) * (1 - second)
    return Agreement(None if chance == 1 else (accuracy - chance) / (1 - chance), accuracy)
