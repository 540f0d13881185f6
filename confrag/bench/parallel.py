"""Bench `parallel`: routes one after the other and all at once, and a route that hangs.

A route here waits, as one does for a server; everything around it is what a configuration compiles to. All is timed in
this process, in turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from confrag.bench.report import Measurements, Report, Row
from confrag.bench.request import Request
from confrag.build import prepare
from confrag.build.progress import ProgressFn
from confrag.errors import UserError
from confrag.evaluate.machine import machine, versions
from confrag.plan.model import Params, StepPlan
from confrag.registry import FAMILIES, register
from confrag.schema.steps import StepSpec

__all__ = ["ratios", "run"]

ROUTES = (2, 4, 8, 16)
ROUTE_MS = 50.0
HANGS_S = 10.0
DEADLINE_S = 0.5
_QUESTIONS = 10
"""Each is asked of every flow; the median counts."""
NOTES = (
    f"Each route takes {ROUTE_MS:g} ms; `slowest` is what it takes by itself. Times are medians of {_QUESTIONS} "
    "questions for each repetition.",
    f"`a branch that hangs`: two routes, of which one takes {HANGS_S:g} s, with `deadline_s: {DEADLINE_S:g}` and "
    "`on_error: partial`; the threads are counted when that call has returned.",
)


class WaitSpec(StepSpec):
    """A route that takes its time and finds nothing."""

    takes = "question"
    kind: Literal["bench_wait"]
    seconds: float


def wait(parts: Any, children: Mapping[str, Any], *, seconds: float) -> Callable[[str], list[Any]]:
    """The step of a `WaitSpec`."""

    def waiting(query: str) -> list[Any]:
        time.sleep(seconds)
        return []

    return waiting


def run(request: Request, progress: ProgressFn) -> Report:
    """Measure.

    Raises:
        UserError: words that it does not know.
    """
    if request.words:
        raise UserError(f"bench parallel has no cases to choose from, and knows no '{request.words[0]}'")
    prepare()
    if "bench_wait" not in FAMILIES["steps"]:
        register("steps", "bench_wait", WaitSpec, wait)
    repeats = request.config().bench.repeats
    taken = Measurements()
    total = repeats * len(ROUTES) + 1
    for round_ in range(repeats):
        for number, routes in enumerate(ROUTES):
            _measure(routes, taken)
            progress("parallel", round_ * len(ROUTES) + number + 1, total)
    _measure_late(taken)
    progress("parallel", total, total)
    rows = taken.rows()
    return Report(
        bench="parallel",
        rows=tuple(rows),
        ratios=ratios(rows),
        machine=machine(load=True),
        versions=versions(("confrag", "lazyllm")),
        charted=tuple(f"{routes} routes" for routes in ROUTES),
        notes=NOTES,
    )


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """The relations between the figures of one run, by name; see docs/benchmarks.md."""
    value = {(row.case, row.measure): row.value for row in rows}
    found = {}
    for routes in ROUTES:
        parallel, sequential = value["parallel", f"{routes} routes"], value["sequential", f"{routes} routes"]
        found[f"parallel_over_slowest_{routes}"] = parallel / value["slowest", f"{routes} routes"]
        found[f"sequential_over_parallel_{routes}"] = sequential / parallel
    return found


def _measure(routes: int, taken: Measurements) -> None:
    from confrag.build.graph import build_recall
    from confrag.build.steps.parallel import fan_out

    parts = _parts()
    one = _route("route", ROUTE_MS / 1000)
    flows = {
        "slowest": build_recall(one, parts),
        "parallel": build_recall(_parallel([_route(f"route{n}", ROUTE_MS / 1000) for n in range(routes)]), parts),
        "sequential": fan_out([build_recall(one, parts) for _ in range(routes)], concurrent=False),
    }
    for _ in range(_QUESTIONS):
        for case, flow in flows.items():
            taken.add(case, f"{routes} routes", "ms", _milliseconds(flow))


def _measure_late(taken: Measurements) -> None:
    from confrag.build.graph import build_recall

    branches = [_route("quick", ROUTE_MS / 1000), _route("hangs", HANGS_S)]
    flow = build_recall(_parallel(branches, deadline_s=DEADLINE_S, on_error="partial"), _parts())
    before = threading.active_count()
    taken.add("a branch that hangs", "answer", "ms", _milliseconds(flow))
    # Its thread ends when the branch does; a busy machine may need some time more.
    end = time.monotonic() + HANGS_S + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    taken.add("a branch that hangs", "threads left behind", "", threading.active_count() - before)


def _parts() -> Any:
    from contextlib import ExitStack

    from confrag.build.steps.parts import Parts

    return Parts({}, {}, {}, ExitStack())


def _route(name: str, seconds: float) -> StepPlan:
    return StepPlan(name, "bench_wait", Params({"seconds": seconds}))


def _parallel(branches: Sequence[StepPlan], **more: Any) -> StepPlan:
    merge = {"kind": "rrf", "k": 60, "dedupe": "node", "weights": {branch.name: 1.0 for branch in branches}}
    params = {"merge": merge, "topk": None, "deadline_s": None, "on_error": "fail", **more}
    return StepPlan("routes", "parallel", Params(params), tuple(branches))


def _milliseconds(flow: Any) -> float:
    from confrag.build.graph import ask

    begun = time.perf_counter()
    ask(flow, "a question")
    return (time.perf_counter() - begun) * 1000
