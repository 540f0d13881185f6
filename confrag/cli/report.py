"""Verb `report`: compare evaluated jobs, and turn the best into a preset."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from confrag.cli.arguments import Arguments, parse
from confrag.cli.output import say
from confrag.errors import UserError, nearest

__all__ = ["USAGE", "compare", "report"]

USAGE = {
    "report": """\
usage: confrag report DIR... [metric=NAME] [baseline=JOB] [out=DIR] [output=json]
       confrag report export DIR [job=JOB] name=NAME [metric=NAME] [force=true] [--config-dir DIR]

Compares the jobs of sweeps of 'confrag eval', or single jobs, that were evaluated on one dataset: a table here, and
report.html, report.json and report.csv in the folder of the sweep (of several: in ./report).

  metric=NAME     ranks by it (default: the sweep's objective)
  baseline=JOB    compares with it, too: a name in the table, a number, or overrides (baseline=conf=map,recall=dense)
  out=DIR         another folder for the three files
  output=json     report.json on standard output

export writes the job that the report advises (the best; of several that score alike on every query, the fastest), or
the one that job= names, as the preset conf/NAME.yaml below --config-dir (CONFRAG_CONFIG_DIR, else ./conf), without the
dataset: 'confrag run --config-dir DIR conf=NAME' takes it.

examples:
  confrag report .confrag/sweeps/2026-01-05/10-00-00-000000 baseline=0
  confrag report first_sweep second_sweep metric=recall@10 out=both
  confrag report export .confrag/sweeps/2026-01-05/10-00-00-000000 name=winner"""
}

_OPTIONS = {
    "report": ("metric", "baseline", "out", "output", "verbose", "debug", "progress"),
    "report export": ("job", "name", "metric", "force", "verbose", "debug", "progress"),
}
_TERMINAL = 120


def report(argv: Sequence[str]) -> int:
    """Compare jobs, or export one."""
    arguments = parse(argv)
    if arguments.multirun or arguments.hydra:
        raise UserError("report reads what was evaluated; -m and Hydra's views belong to 'confrag eval'")
    exporting = arguments.overrides[:1] == ["export"]
    verb = "report export" if exporting else "report"
    folders, options = _sorted(arguments.overrides[exporting:], verb)
    if not folders:
        raise UserError(f"{verb}: the folder of a sweep or job is missing\n{USAGE['report'].split(chr(10) * 2)[0]}")
    return _export(folders, options, arguments) if exporting else _compare(folders, options)


def _sorted(words: Sequence[str], verb: str) -> tuple[list[str], dict[str, str]]:
    """Folders and options. An existing folder is one, whatever its name holds."""
    folders, options = [], {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.lstrip("+")
        if not equals or Path(word).is_dir():
            folders.append(word)
        elif key in _OPTIONS[verb]:
            options[key] = value
        else:
            hint = nearest(key, _OPTIONS[verb])
            raise UserError(
                f"'{word}' is not understood; options of {verb}: {', '.join(_OPTIONS[verb][:-3])}"
                + (f". Did you mean '{hint}'?" if hint else "")
            )
    return folders, options


def _compare(folders: Sequence[str], options: dict[str, str]) -> int:
    if options.get("output", "text") not in ("text", "json"):
        raise UserError(f"output = {options['output']!r}: must be text or json")
    out = Path(options.get("out") or (folders[0] if len(folders) == 1 else "report")).expanduser()
    compare(
        folders,
        out,
        sys.stdout,
        as_json=options.get("output") == "json",
        baseline=options.get("baseline"),
        metric=options.get("metric"),
    )
    return 0


def compare(
    folders: Sequence[str | Path],
    folder: Path,
    out: TextIO | None,
    *,
    as_json: bool = False,
    baseline: str | None = None,
    metric: str | None = None,
) -> None:
    """Write the report of some folders into another one, and show its table.

    Args:
        folders: of sweeps or jobs.
        folder: where the report goes.
        out: where the table goes, or the whole as JSON; None: nowhere.
        as_json: which of these.
        baseline: see `confrag.report.build`.
        metric: see there.

    Raises:
        UserError: nothing in the folders can be compared, or nothing be written.
    """
    from confrag.report import build, read, table, write

    results = read(folders)
    data = build(results, baseline, metric)
    page, *_ = write(data, results, folder)
    if out and as_json:
        out.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    elif out:
        width = os.get_terminal_size(out.fileno()).columns if out.isatty() else None
        out.write(table(data, width and max(width, _TERMINAL)))
    say(f"report: {page}")


def _export(folders: Sequence[str], options: dict[str, str], arguments: Arguments) -> int:
    if len(folders) > 1:
        raise UserError(f"report export takes one folder, and not {len(folders)}: {', '.join(folders)}")
    if "name" not in options:
        raise UserError("report export: name=NAME is missing, the name of the preset")
    if options.get("force", "false") not in ("true", "false"):
        raise UserError(f"force = {options['force']!r}: must be true or false")
    from confrag.report import build, read
    from confrag.report.build import find_job
    from confrag.report.export import export, own_documents

    results = read(folders)
    data = build(results, metric=options.get("metric"))
    job = find_job(results.done, options.get("job", data["advised"]), "job")
    config_dir = Path(arguments.config_dir or os.environ.get("CONFRAG_CONFIG_DIR") or "conf").expanduser()
    path = export(job, options["name"], config_dir, data["metric"], force=options.get("force") == "true")
    corpus = "" if own_documents(job) else " corpus.path=DIR"
    sys.stdout.write(
        f"{path}: {job.name}. Try:\n\n"
        f"  confrag run --config-dir {shlex.quote(str(config_dir))} conf={options['name']}{corpus} "
        'query="..."\n'
    )
    return 0
