"""CSV and XLSX: every row as a line that names its columns, so that a chunk of a table says what its numbers mean.

LazyLLM's pandas readers are not used: they drop the names of the columns, read 007 as 7.0 and "NA" as nothing.
"""

from __future__ import annotations

import csv
import datetime
import warnings
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import openpyxl

from confrag.build.readers.archive import check_archive
from confrag.build.readers.section import Scalar, Section
from confrag.build.readers.text import load_text

# It warns of features (validation rules, styles) that do not touch the text.
warnings.filterwarnings("ignore", module="openpyxl")

_PROSE = 300  # characters


def read_csv(path: Path) -> list[Section]:
    """The table as one section; one section per row (metadata: ``row``, from 1) when the rows hold prose."""
    text = load_text(path)
    return _table(csv.reader(StringIO(text, newline=""), delimiter=_delimiter(path, text)), {})


def read_xlsx(path: Path) -> list[Section]:
    """One section per visible sheet (metadata: ``sheet``), or per row of it when the rows hold prose.

    Formulas count by the values that were saved with them.
    """
    check_archive(path)
    workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        return [section for sheet in workbook.worksheets for section in _sheet(sheet)]
    finally:
        workbook.close()


def _sheet(sheet: Any) -> list[Section]:
    if sheet.sheet_state != "visible":
        return []
    sheet.reset_dimensions()  # Many programs save a wrong size of the sheet, and rows would be lost.
    rows = ([_shown(cell.value, cell.number_format) for cell in row] for row in sheet.iter_rows())
    return _table(rows, {"sheet": sheet.title})


def _table(rows: Iterable[Sequence[str]], metadata: dict[str, Scalar]) -> list[Section]:
    """Rows of one cell are titles or notes; the first of several cells names the columns, unless it holds numbers."""
    header: list[str] | None = None
    lines: list[tuple[int, str]] = []
    named = (0, "")
    for number, row in enumerate(rows, start=1):
        cells = [" ".join(cell.split()) for cell in row]
        filled = [cell for cell in cells if cell]
        if header is None and len(filled) > 1 and not any(_is_number(cell) for cell in filled):
            header, named = cells, (number, " | ".join(filled))
        elif filled:
            header = [] if header is None and len(filled) > 1 else header
            lines.append((number, _line(cells, header or [])))
    lines = lines or [named]
    if sum(len(line) for _, line in lines) < _PROSE * len(lines):
        return [Section("\n".join(line for _, line in lines), metadata)]
    return [Section(line, {**metadata, "row": number}) for number, line in lines]


def _line(cells: Sequence[str], header: Sequence[str]) -> str:
    if not header:
        return " | ".join(cell for cell in cells if cell)
    names = [*header, *[""] * (len(cells) - len(header))]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=False) if cell)


def _delimiter(path: Path, text: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    try:
        return csv.Sniffer().sniff(text[:8192], delimiters=",;\t|").delimiter
    except csv.Error:
        return ","  # One column, or too little to tell.


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "").rstrip("%"))
    except ValueError:
        return False
    return True


def _shown(value: object, number_format: str) -> str:
    """A cell as a reader of the sheet sees it, within reason."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "minutes")
    if isinstance(value, datetime.time):
        return value.isoformat("seconds" if value.second else "minutes")
    if isinstance(value, float) and number_format.endswith("%"):
        return f"{value * 100:.10g}%"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
