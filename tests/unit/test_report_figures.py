"""Numbers for people, and the geometry of the charts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.report import build, figures, read
from confrag.report.charts import HEIGHT, WIDTH, linear, logarithmic, pareto_chart
from tests.reports import product, write_sweep

VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4)), min_size=1, max_size=20)
POSITIVE = st.lists(st.floats(1e-3, 1e6, allow_nan=False), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (figures.score(0.41256), "0.413"),
        (figures.score(None), "–"),
        (figures.signed(-0.0361), "−0.036"),
        (figures.signed(0.2), "+0.200"),
        (figures.signed(-0.0001), "0.000"),
        (figures.percent(0.004), "< 1 %"),
        (figures.percent(0), "0 %"),
        (figures.percent(0.666), "67 %"),
        (figures.p_value(0.0001), "< 0.001"),
        (figures.p_value(0.0412), "0.041"),
        (figures.p_value(1.0), "1.00"),
        (figures.duration(3.14159), "3.1 ms"),
        (figures.duration(12.7), "13 ms"),
        (figures.duration(2345), "2.3 s"),
        (figures.duration(125_000), "2.1 min"),
        (figures.duration(None), "–"),
        (figures.count(1234.6), "1,235"),
        (figures.count(2.25), "2.2"),
        (figures.cost(1234.5, "USD"), "$1,234.50"),
        (figures.cost(0.00123, "CNY"), "¥0.0012"),
        (figures.cost(0.5, "CHF"), "0.50 CHF"),
        (figures.cost(None, None), "–"),
        (figures.tick(-0.2), "−0.2"),
        (figures.tick(0.2, sign=True), "+0.2"),
        (figures.tick(0.0, sign=True), "0"),
    ],
)
def test_figures(shown: str, expected: str) -> None:
    assert shown == expected


@given(VALUES)
def test_a_linear_axis_holds_its_values_in_order(values: list[float]) -> None:
    axis = linear(values, 0, 100)
    assert all(0 <= axis.at(value) <= 100 for value in (*values, *axis.ticks))
    assert [axis.at(value) for value in sorted(values)] == sorted(axis.at(value) for value in values)
    assert 2 <= len(axis.ticks) <= 7


@given(POSITIVE)
def test_a_logarithmic_axis_holds_its_values_in_order(values: list[float]) -> None:
    axis = logarithmic(values, 0, 100)
    assert all(0 <= axis.at(value) <= 100 for value in (*values, *axis.ticks))
    assert [axis.at(value) for value in sorted(values)] == sorted(axis.at(value) for value in values)


def test_an_axis_stays_within_its_bounds() -> None:
    axis = linear([0.9, 1.0], 0, 100, bounds=(0.0, 1.0))
    assert (axis.high, axis.at(1.0)) == (1.0, 100.0)


def test_labels_of_the_front_lie_in_the_chart_and_on_nothing_else(tmp_path: Path) -> None:
    stores = ["map", "chroma", "milvus_flat", "milvus_hnsw"]
    jobs = product(conf=stores, recall=["dense", "lexical", "hybrid"])
    chart = pareto_chart(build(read([write_sweep(tmp_path, jobs)])))
    assert chart
    assert len(chart["points"]) == 12
    front = [point for point in chart["points"] if point["front"]]
    assert chart["steps"].count("L") == 2 * (len(front) - 1)
    places = {(point["label_x"], point["label_y"], point["anchor"]) for point in chart["points"]}
    assert len(places) == 12
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y, _ in places)
    # With letters of 6 units, which is less than they have, no two labels meet.
    boxes = []
    for point in chart["points"]:
        length = len(point["name"]) * 6
        left = point["label_x"] - (length if point["anchor"] == "end" else 0)
        boxes.append((left, left + length, point["label_y"]))
    for number, (left, right, y) in enumerate(boxes):
        assert all(right <= other[0] or other[1] <= left or abs(other[2] - y) >= 15 for other in boxes[:number])
    corners = [tuple(map(float, corner.split())) for corner in chart["steps"][1:].split("L")]
    for (x, y), (to_x, to_y) in pairwise(corners):
        # A base line lies four units below the middle of its letters.
        assert not any(
            left < max(x, to_x) and min(x, to_x) < right and abs(base - 4 - y) < 7 and y == to_y
            for left, right, base in boxes
        )
