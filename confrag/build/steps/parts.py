"""What the steps of a recall are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confrag.build.route import Route
from confrag.plan.model import StepPlan

__all__ = ["Child", "Children", "Parts"]


@dataclass(frozen=True)
class Parts:
    """What a step may use, by name.

    Attributes:
        routes: of the retrievers.
        models: all of the plan, as their kinds build them.
        embed: of the embedding models, with the caches before them: a question, or a list of texts.
        resources: closed with the engine; a step adds what it has opened.
    """

    routes: Mapping[str, Route]
    models: Mapping[str, Any]
    embed: Mapping[str, Callable[[Any], Any]]
    resources: ExitStack = field(default_factory=ExitStack)


class Child(NamedTuple):
    """A step below another one: what was planned, and what was built.

    `built` is called with a question, or with nodes and ``query=``, as ``step.takes`` says.
    """

    step: StepPlan
    built: Any


Children = Mapping[str, Child]
"""The steps directly below a step, by name, in the order of the YAML."""
