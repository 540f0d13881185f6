"""What a bench found: rows, ratios, and the circumstances; as data and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Measurements", "Report", "Row", "shown", "table"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what was measured of which case."""

    case: str
    measure: str
    value: float
    unit: str


@dataclass(frozen=True)
class Report:
    """The outcome of a bench.

    Attributes:
        bench: its name.
        rows: every figure.
        ratios: relations of figures of this run, which compare across machines.
        machine: where it ran.
        versions: package -> version.
        charted: measures, of one unit, that its chart shows.
        notes: what a reader must know to read the figures, a sentence or two each.
    """

    bench: str
    rows: tuple[Row, ...]
    ratios: Mapping[str, float]
    machine: Mapping[str, str | float]
    versions: Mapping[str, str]
    charted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Report, ...]:
        """The reports of which each has a chart: this one."""
        return (self,)

    def as_dict(self) -> dict[str, Any]:
        """The document that ``output=json`` prints."""
        rows = [{"case": r.case, "measure": r.measure, "value": r.value, "unit": r.unit} for r in self.rows]
        return {
            "bench": self.bench,
            "rows": rows,
            "ratios": dict(self.ratios),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
        }

    def markdown(self) -> str:
        """A table of the figures with a column for each case, and one of the ratios."""
        cases = list(dict.fromkeys(row.case for row in self.rows))
        labels = {row.measure: _label(row) for row in self.rows}
        values = {(row.case, row.measure): shown(row.value) for row in self.rows}
        figures = [[label, *(values.get((case, measure), "") for case in cases)] for measure, label in labels.items()]
        lines = [f"# confrag bench {self.bench}", "", *table(["", *cases], figures)]
        lines += ["", *(f"{note}\n" for note in self.notes)]
        lines += table(["ratio", "value"], [[f"`{name}`", shown(value)] for name, value in self.ratios.items()])
        lines += ["", ", ".join(f"{name} {value}" for name, value in self.machine.items()), ""]
        lines += [", ".join(f"{name} {value}" for name, value in self.versions.items()), ""]
        return "\n".join(lines)


@dataclass
class Measurements:
    """Figures that are taken several times over."""

    _taken: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def add(self, case: str, measure: str, unit: str, *values: float) -> None:
        """Note what was measured."""
        self._taken.setdefault((case, measure, unit), []).extend(values)

    def rows(self) -> list[Row]:
        """One row each: the median of times and rates; of counts, which should not differ, the largest."""
        return [
            Row(case, measure, statistics.median(values) if unit in ("s", "ms", "tokens/s") else max(values), unit)
            for (case, measure, unit), values in self._taken.items()
        ]


def shown(value: float) -> str:
    """A figure for people: three digits that count, thousands apart."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def _label(row: Row) -> str:
    return f"{row.measure}, {row.unit}" if row.unit in ("s", "ms", "MB") else row.measure


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; figures stand to the right."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *lines)]
