"""Verb `bench`: figures of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from confrag.bench import BENCHES
from confrag.bench.report import Report
from confrag.bench.request import Request
from confrag.cli.arguments import parse
from confrag.cli.output import reserved_stdout, say
from confrag.cli.progress import shown
from confrag.config.overrides import split_queries
from confrag.errors import MissingDependencyError, UserError, nearest

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
        with shown(config.progress) as progress:
            report: Report | Page = import_module(BENCHES[words[0]][0]).run(request, progress)
        folder = _keep(report, Path(config.state_dir).expanduser() / "bench")
        if config.output == "json":
            out.write(json.dumps(report.as_dict(), ensure_ascii=False, indent=2) + "\n")
        else:
            from confrag.bench.chart import draw_terminal

            out.write(report.markdown() + "\n")
            for part in report.parts:
                draw_terminal(part, out)
    say(f"kept in {folder}")
    return 0


def _keep(report: Report | Page, parent: Path) -> Path:
    """Write the report into a folder of its own."""
    from confrag.bench.chart import draw_png

    folder = parent / f"{report.bench}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        folder.mkdir(parents=True)
        (folder / "report.md").write_text(report.markdown(), "utf-8")
        document = json.dumps(report.as_dict(), ensure_ascii=False, indent=2)
        (folder / "report.json").write_text(document + "\n", "utf-8")
        for part in report.parts:
            draw_png(part, folder / ("chart.png" if part is report else f"{part.bench}.png"))
    except MissingDependencyError as error:
        say(f"note: {error}")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from None
    return folder
