"""Geometry of the charts: where things stand. The template draws them, so that every text in them is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from confrag.report import figures

__all__ = ["Axis", "difference_axis", "effect_axis", "interval_axis", "linear", "logarithmic", "pareto_chart"]

WIDTH, HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 20, 48
_LABELLED = 12
_LINE = 15
_LETTER, _BOLD_LETTER = 6.3, 7.3


@dataclass(frozen=True)
class Axis:
    """A scale from values to positions.

    Attributes:
        low, high: the values at its two ends.
        start, end: the positions of these.
        log: the scale is logarithmic.
        ticks: values to label.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The position of a value, rounded to a tenth of a unit."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)


def linear(values: Sequence[float], start: float, end: float, *, bounds: tuple[float, float] | None = None) -> Axis:
    """An axis over all values, with a margin and about five round ticks.

    Args:
        values: what must fit.
        start, end: positions.
        bounds: values beyond which the axis never goes.
    """
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 0.05
    low, high = low - margin, high + margin
    if bounds:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    step = _round_step((high - low) / 5)
    first = math.ceil(low / step - 1e-9)
    ticks = [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(low, high, start, end, tuple(round(tick, 10) for tick in ticks))


def logarithmic(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis of orders of magnitude; the values are above 0."""
    low, high = min(values) / 1.3, max(values) * 1.3
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    return Axis(low, high, start, end, tuple(inside if len(inside) <= 8 else inside[::3]), log=True)


def interval_axis(jobs: Sequence[Mapping[str, Any]], metric: str) -> Axis:
    """The axis that the bars of a leaderboard share, from 0 to 100."""
    bounds = [bound for job in jobs if metric in job["metrics"] for bound in job["metrics"][metric]["interval"]]
    limits = (0.0, 1.0) if bounds and min(bounds) >= 0 and max(bounds) <= 1 else None
    return linear(bounds or [0.0, 1.0], 0, 100, bounds=limits)


def difference_axis(jobs: Sequence[Mapping[str, Any]], key: str) -> Axis:
    """The axis of differences, which holds 0, from 0 to 100."""
    bounds = [value for job in jobs if job[key] for value in (job[key]["low"], job[key]["high"])]
    return linear([0.0, *bounds], 0, 100)


def pareto_chart(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Quality over latency: axes, points with their labels, and the steps of the front; None below two points."""
    metric = data["metric"]
    jobs = [j for j in data["jobs"] if (j["latency_ms"].get("total") or {}).get("p50") and metric in j["metrics"]]
    if len(jobs) < 2:
        return None
    latencies = [job["latency_ms"]["total"]["p50"] for job in jobs]
    means = [job["metrics"][metric]["mean"] for job in jobs]
    span = (_LEFT, WIDTH - _RIGHT)
    x = (
        logarithmic(latencies, *span)
        if max(latencies) > 5 * min(latencies)
        else linear([0, *latencies], *span, bounds=(0, math.inf))
    )
    y = linear(means, HEIGHT - _BOTTOM, _TOP)
    priced = "cost_per_1000" in data["pareto"]["axes"]
    dearest = max((job["cost_per_1000"] for job in jobs), default=0) if priced else 0
    points = [
        {
            "name": job["name"],
            "x": x.at(latency),
            "y": y.at(mean),
            "radius": round(3 + 5 * math.sqrt(job["cost_per_1000"] / dearest), 1) if dearest else 5,
            "front": job["pareto"],
            "title": _title(job, metric, latency, mean),
            "labelled": len(jobs) <= _LABELLED or job["pareto"] or job["name"] in (data["best"], data["baseline"]),
        }
        for job, latency, mean in zip(jobs, latencies, means, strict=True)
    ]
    # Drawn only where quality and latency alone decide; with a price the front is no line in this plane.
    corners = _corners([point for point in points if point["front"]]) if not priced else []
    _place_labels(points, corners)
    steps = "M" + "L".join(f"{x} {y}" for x, y in corners) if corners else ""
    return {"width": WIDTH, "height": HEIGHT, "x": x, "y": y, "points": points, "steps": steps, "left": _LEFT,
            "right": WIDTH - _RIGHT, "top": _TOP, "bottom": HEIGHT - _BOTTOM, "priced": priced}  # fmt: skip


def _title(job: Mapping[str, Any], metric: str, latency: float, mean: float) -> str:
    parts = [f"{job['name']}: {figures.score(mean)}", figures.duration(latency)]
    if job["cost_per_1000"] is not None:
        parts.append(f"{figures.cost(job['cost_per_1000'], job['currency'])} for 1,000 queries")
    return ", ".join(parts)


def _place_labels(points: list[dict[str, Any]], corners: Sequence[tuple[float, float]]) -> None:
    """Put each label where no point, no line and no other label is: beside its point, above it, or below it."""
    taken = [(p["x"] - p["radius"], p["y"] - p["radius"], p["x"] + p["radius"], p["y"] + p["radius"]) for p in points]
    for (x, y), (to_x, to_y) in pairwise(corners):
        taken.append((min(x, to_x) - 1, min(y, to_y) - 1, max(x, to_x) + 1, max(y, to_y) + 1))
    for point in sorted(points, key=lambda p: (not p["front"], p["y"], p["x"])):
        if not point["labelled"]:
            continue
        length, gap = len(point["name"]) * (_BOLD_LETTER if point["front"] else _LETTER), point["radius"] + 5
        boxes = {}
        for down in (0, -_LINE, _LINE, *(step * _LINE for step in (-2, 2, -3, 3, 4, 5, 6))):
            for anchor, start in (("start", point["x"] + gap), ("end", point["x"] - gap - length)):
                middle = point["y"] + down
                boxes[anchor, down] = (start, middle - _LINE / 2, start + length, middle + _LINE / 2)
        fitting = (where for where, box in boxes.items() if _inside(box) and not any(_meet(box, o) for o in taken))
        anchor, down = next(fitting, ("start", 0))
        box = boxes[anchor, down]
        taken.append(box)
        point.update(
            label_x=round(box[0] if anchor == "start" else box[2], 1), label_y=round(point["y"] + down + 4, 1),
            anchor=anchor, moved=abs(down) > _LINE,
        )  # fmt: skip


_Box = tuple[float, float, float, float]


def _inside(box: _Box) -> bool:
    return box[0] >= _LEFT + 2 and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT - _BOTTOM


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _corners(front: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """The corners of the front's steps: between two of its points there is nothing as fast and better."""
    ordered = sorted((point["x"], point["y"]) for point in front)
    corners = ordered[:1]
    for (_, y), (to_x, to_y) in pairwise(ordered):
        corners += [(to_x, y), (to_x, to_y)]
    return corners


def effect_axis(effects: Sequence[Mapping[str, Any]]) -> Axis:
    """The axis that all effects share, from 0 to 100: a long bar in one key is a long bar in every key."""
    values = [
        number for effect in effects for value in effect["values"] for number in (value["interval"] or [value["mean"]])
    ]
    limits = (0.0, 1.0) if values and min(values) >= 0 and max(values) <= 1 else None
    return linear(values or [0.0, 1.0], 0, 100, bounds=limits)


def _round_step(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= step * (1 - 1e-9))
