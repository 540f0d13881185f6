"""The bar chart of a report: in the terminal by rich, as a PNG by matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from confrag.bench.report import Report, Row, shown
from confrag.errors import MissingDependencyError

__all__ = ["draw_png", "draw_terminal"]

_COLOURS = ("#4269d0", "#efb118", "#6cc5b0", "#ff725c", "#a463f2")
"""Of the measures, in their order."""


def draw_terminal(report: Report, out: TextIO) -> None:
    """Draw the charted measures as bars, cases below each other."""
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

    rows = _charted(report)
    if not rows:
        return
    longest = max(row.value for row in rows) or 1.0
    table = Table(box=None, show_header=False, pad_edge=False)
    last = ""
    for row in rows:
        colour = _COLOURS[report.charted.index(row.measure) % len(_COLOURS)]
        bar = Bar(longest, 0, row.value, width=40, color=colour)
        table.add_row(row.case if row.case != last else "", row.measure, bar, f"{shown(row.value)} {row.unit}")
        last = row.case
    Console(file=out, width=None if out.isatty() else 120).print(table)


def draw_png(report: Report, path: Path) -> None:
    """Write the same as a picture.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("matplotlib", "pip install 'confrag[bench]'", "the chart as a PNG") from None
    rows = _charted(report)
    cases = list(dict.fromkeys(row.case for row in rows))
    height = 0.8 / max(len(report.charted), 1)
    figure = Figure(figsize=(9, 1.2 + 0.75 * len(cases)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, measure in enumerate(report.charted):
        of_measure = [row for row in rows if row.measure == measure]
        places = [cases.index(row.case) + (number - (len(report.charted) - 1) / 2) * height for row in of_measure]
        values = [row.value for row in of_measure]
        bars = axes.barh(places, values, height, label=measure, color=_COLOURS[number % len(_COLOURS)])
        axes.bar_label(bars, [shown(value) for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(cases)), cases)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel(rows[0].unit if rows else "")
    axes.set_title(f"confrag bench {report.bench}")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", dpi=150)


def _charted(report: Report) -> list[Row]:
    """The rows of the charted measures, by case, in the order of the measures."""
    cases = list(dict.fromkeys(row.case for row in report.rows))
    rows = [row for row in report.rows if row.measure in report.charted]
    return sorted(rows, key=lambda row: (cases.index(row.case), report.charted.index(row.measure)))
