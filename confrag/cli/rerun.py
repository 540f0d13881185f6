"""Verb `rerun`: do a job again, and say what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from confrag.cli.arguments import parse
from confrag.cli.output import reserved_stdout, say
from confrag.config import Composed, Config, validate
from confrag.errors import UserError, nearest
from confrag.evaluate.differences import Difference, of_answers, of_circumstances, of_evaluations

__all__ = ["USAGE", "rerun"]

USAGE = {
    "rerun": """\
usage: confrag rerun DIR [state_dir=DIR] [corpus.path=DIR] [dataset.path=DIR] [output=json]

Repeats a job of 'confrag run' or 'confrag eval' with the configuration that it has left in its folder, and says what
is not as it was: versions, models, documents, machine; metrics, rankings and answers.

  DIR              the folder of the job (.confrag/runs/..., or a number below .confrag/sweeps/...)
  state_dir=DIR    another place for the stores; an empty one, to begin at the very beginning
  corpus.path=DIR  where the documents are now; dataset.path=DIR likewise
  output=json      one JSON document on standard output

exit codes: 0 the results are the same, 3 they differ

example:
  confrag rerun .confrag/sweeps/2026-01-05/10-00-00-000000/3"""
}

_OPTIONS = ("state_dir", "corpus.path", "dataset.path", "output", "progress", "verbose", "debug")
_SHOWN = 20
"""Differences that are shown; all of them are in the JSON."""
_DIFFERENT = 3


def rerun(argv: Sequence[str]) -> int:
    """Repeat a job."""
    arguments = parse(argv)
    if arguments.multirun or arguments.hydra:
        raise UserError("rerun repeats one job; -m and Hydra's views belong to 'confrag run' and 'confrag eval'")
    folder, options = _sorted(arguments.overrides)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    evaluated = (folder / "eval.json").is_file()
    if not evaluated and not (folder / "run.json").is_file():
        raise UserError(
            f"{folder}: no job of 'confrag run' or 'confrag eval' is kept there (neither eval.json nor run.json); of a "
            "sweep, name a numbered folder"
        )
    with reserved_stdout() as out:
        composed, config, target = _prepared(folder, options)
        before, now, results = (_evaluate if evaluated else _ask)(folder, composed, config, target)
        circumstances = of_circumstances(before, now)
        if config.output == "json":
            found = {"circumstances": list(map(asdict, circumstances)), "results": list(map(asdict, results))}
            document = {"job": str(folder), "folder": str(target), "equal": not results, **found}
            out.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        else:
            _tell("circumstances", circumstances, out.write)
            _tell("results", results, out.write)
    say(f"kept in {target}")
    return _DIFFERENT if results else 0


def _sorted(words: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    folders, options = [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or Path(word).is_dir():
            folders.append(word)
        elif key in _OPTIONS:
            options[key] = {"true": True, "false": False}.get(value, value)
        else:
            hint = nearest(key, _OPTIONS)
            raise UserError(
                f"'{word}' is not understood: a job is repeated as it was; options of rerun: "
                f"{', '.join(_OPTIONS)}" + (f". Did you mean '{hint}'?" if hint else "")
            )
    if len(folders) != 1:
        raise UserError(f"rerun takes the folder of one job, and not {len(folders) or 'none'}: confrag rerun DIR")
    return Path(folders[0]).expanduser(), options


def _prepared(folder: Path, options: Mapping[str, Any]) -> tuple[Composed, Config, Path]:
    """The configuration of a job, and a folder for its repetition."""
    path = folder / "config.yaml"
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: the file is missing; without it a job cannot be repeated") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: no configuration is in it")
    data |= {"resume": False, "output": "text", "progress": None, "verbose": False, "debug": False}
    for key, value in options.items():
        group, _, name = key.rpartition(".")
        (data.setdefault(group, {}) if group else data)[name] = value
    composed = Composed(_kept(folder).get("conf"), data, overrides=tuple(_kept(folder).get("overrides", ())))
    config = validate(composed)
    target = Path(config.state_dir).expanduser() / "runs" / f"{datetime.now():%Y-%m-%d/%H-%M-%S-%f}"
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from None
    from confrag.build import prepare

    prepare(verbose=config.verbose)
    return composed, config, target


def _kept(folder: Path) -> dict[str, Any]:
    """``eval.json`` or ``run.json``."""
    path = next(path for name in ("eval.json", "run.json") if (path := folder / name).is_file())
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if document.get("error"):
        raise UserError(f"{path}: the job failed, so that there is nothing to compare with: {document['error']}")
    if "provenance" not in document:
        raise UserError(f"{path}: it does not say what the job was made with; this version cannot compare with it")
    return document


Repeated = tuple[dict[str, Any], dict[str, Any], list[Difference]]


def _evaluate(folder: Path, composed: Composed, config: Config, target: Path) -> Repeated:
    from confrag.cli.progress import shown
    from confrag.cli.text import announce_work
    from confrag.evaluate.job import evaluate
    from confrag.report import read

    before = read([folder]).jobs[0]
    with shown(config.progress) as progress:
        evaluate(composed, config, target, progress, say, announce_work)
    now = read([target]).jobs[0]
    found = of_evaluations(before.document, now.document, before.rows, now.rows)
    return dict(before.document), dict(now.document), found


def _ask(folder: Path, composed: Composed, config: Config, target: Path) -> Repeated:
    from confrag.cli.progress import shown
    from confrag.cli.run import keep, load
    from confrag.cli.text import announce_work
    from confrag.evaluate.outputs import now as clock
    from confrag.evaluate.outputs import write_config

    before, started = _kept(folder), clock()
    write_config(target, composed)
    with shown(config.progress) as progress:
        app = load(composed, config)
        app.start(progress, told=lambda work: announce_work(app, work))
    with app:
        answers = [app.ask(answer["query"], config.filters) for answer in before["answers"]]
        after = keep(target, composed, config, app, answers, composed.overrides, started)
    return before, after, of_answers(before["answers"], after["answers"])


def _tell(title: str, differences: Sequence[Difference], write: Any) -> None:
    write(f"{title}: {'the same' if not differences else 'different'}\n")
    for difference in differences[:_SHOWN]:
        write(f"  {difference.what}: {_short(difference.before)}, now {_short(difference.now)}\n")
    if len(differences) > _SHOWN:
        write(f"  and {len(differences) - _SHOWN:,} more; output=json lists them\n")


def _short(value: Any, limit: int = 100) -> str:
    words = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(words.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
