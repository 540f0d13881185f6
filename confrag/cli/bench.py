"""Verb `bench`: figures of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from confrag.bench import BENCHES
from confrag.bench.report import Report
from confrag.bench.request import Request
from confrag.build.progress import ProgressFn
from confrag.cli.arguments import parse
from confrag.cli.output import reserved_stdout, say
from confrag.cli.progress import shown
from confrag.config.overrides import split_queries
from confrag.errors import MissingDependencyError, UserError, nearest
from confrag.evaluate.written import write_json, write_lines

if TYPE_CHECKING:
    from confrag.bench.all import Page

__all__ = ["USAGE", "bench"]

USAGE = {
    "bench": "usage: confrag bench NAME [CASE ...] [bench.repeats=N] [output=json] [override ...]\n\n"
    + "".join(f"  {name:<10}{summary}\n" for name, (_, summary) in BENCHES.items())
    + "\nPrints a Markdown table and a chart. They are kept below state_dir (.confrag/bench), with the JSON document\n"
    "and the chart as a PNG. The configuration says which documents and models are used; stores are temporary.\n\n"
    "examples:\n"
    "  confrag bench startup corpus.path=docs\n"
    "  confrag bench startup chroma milvus embed=e5_multilingual bench.repeats=1\n"
    "  confrag bench all"
}


def bench(argv: Sequence[str]) -> int:
    """Run one bench and keep what it found."""
    arguments = parse(argv)
    if arguments.multirun or arguments.hydra:
        raise UserError("bench works on one configuration; -m and Hydra's views belong to 'confrag run'")
    questions, others = split_queries(arguments.overrides)
    words = [word for word in others if "=" not in word and not word.startswith("~")]
    if not words or words[0] not in BENCHES:
        hint = f". Did you mean '{near}'?" if words and (near := nearest(words[0], BENCHES)) else ""
        problem = f"there is no bench '{words[0]}'" if words else "a name is missing"
        raise UserError(f"bench: {problem}; known: {', '.join(BENCHES)}{hint}")
    if len(questions) > 1:
        raise UserError("bench asks one question")
    overrides = tuple(word for word in others if word not in words)
    request = Request(tuple(words[1:]), overrides, arguments.config_dir, *questions)
    with reserved_stdout() as out:
        config = request.config()
        folder = Path(config.state_dir).expanduser() / "bench" / f"{words[0]}-{time.strftime('%Y%m%d-%H%M%S')}"
        report: Report | Page | None = None
        try:
            with shown(config.progress) as progress:
                for report in _reports(words[0], request, progress):
                    _keep(report, folder)
        finally:
            # Of several, those that were done, whatever has ended the rest.
            if report:
                _draw(report, folder)
                _show(report, out, as_json=config.output == "json")
                say(f"kept in {folder}")
    return 0


def _reports(name: str, request: Request, progress: ProgressFn) -> Iterator[Report | Page]:
    """The report of a bench; of several benches, one that grows."""
    module = import_module(BENCHES[name][0])
    if name == "all":
        yield from module.grow(request, progress)
    else:
        yield module.run(request, progress)


def _keep(report: Report | Page, folder: Path) -> None:
    """Write the report, or write it anew."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_lines(folder / "report.md", [report.markdown().rstrip("\n")])
        write_json(folder / "report.json", report.as_dict())
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from None


def _draw(report: Report | Page, folder: Path) -> None:
    from confrag.bench.chart import draw_png

    try:
        for part in report.parts:
            draw_png(part, folder / ("chart.png" if part is report else f"{part.bench}.png"))
    except (MissingDependencyError, OSError) as error:
        say(f"note: {error}")


def _show(report: Report | Page, out: TextIO, *, as_json: bool) -> None:
    if as_json:
        out.write(json.dumps(report.as_dict(), ensure_ascii=False, indent=2) + "\n")
        return
    from confrag.bench.chart import draw_terminal

    out.write(report.markdown() + "\n")
    for part in report.parts:
        draw_terminal(part, out)
