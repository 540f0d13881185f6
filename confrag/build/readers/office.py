"""DOCX and PPTX.

LazyLLM's DocxReader is not used: docx2txt beneath it loses headings, lists and the shape of tables, and its other
mode saves the pictures to disk. Its PPTXReader is not used: it needs torch, transformers and a model from a hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mammoth
import pptx
from pptx.enum.shapes import MSO_SHAPE_TYPE

from confrag.build.readers.archive import MAX_PARSED, check_archive
from confrag.build.readers.section import Section
from confrag.build.readers.web import html_to_markdown

_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"


def read_docx(path: Path) -> list[Section]:
    """The whole document as one section of Markdown: headings, lists, tables, text boxes and notes, in order.

    Accepted changes are in, deleted text, pictures, page headers and footers are out.
    """
    check_archive(path, MAX_PARSED)
    with path.open("rb") as file:
        converted = mammoth.convert_to_html(
            file, style_map=_STYLES, convert_image=lambda _: [], external_file_access=False
        )
    return [Section(html_to_markdown(converted.value)[1])]


def read_pptx(path: Path) -> list[Section]:
    """One section per slide that is not hidden: title, text, tables, charts, notes. Metadata: ``slide``, ``title``."""
    check_archive(path)
    slides = enumerate(pptx.Presentation(str(path)).slides, start=1)
    return [_slide(slide, number) for number, slide in slides if slide.element.get("show") != "0"]


def _slide(slide: Any, number: int) -> Section:
    title = slide.shapes.title
    heading = " ".join(title.text_frame.text.split()) if title is not None else ""
    parts = [f"# {heading}"] if heading else []
    for shape in slide.shapes:
        if title is None or shape.shape_id != title.shape_id:
            parts += _text(shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        parts += [f"Notes: {notes}"] if notes else []
    return Section("\n\n".join(parts), {"slide": number, "title": heading} if heading else {"slide": number})


def _text(shape: Any) -> Iterator[str]:
    if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
        for part in shape.shapes:
            yield from _text(part)
    elif shape.has_text_frame:
        yield "\n".join("  " * line.level + line.text for line in shape.text_frame.paragraphs if line.text.strip())
    elif getattr(shape, "has_table", False):
        rows = ([" ".join(cell.text.split()) for cell in row.cells] for row in shape.table.rows)
        yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    elif getattr(shape, "has_chart", False):
        yield "\n".join(_chart(shape.chart))


def _chart(chart: Any) -> Iterator[str]:
    if chart.has_title and chart.chart_title.has_text_frame:
        yield chart.chart_title.text_frame.text
    for plot in chart.plots:
        for series in plot.series:
            points = zip(plot.categories, series.values, strict=False)
            yield f"{series.name}: " + ", ".join(f"{name} {value:g}" for name, value in points if value is not None)
