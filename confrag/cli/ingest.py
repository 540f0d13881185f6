"""Verbs that look after the store without asking anything: `ingest`, and `plan`, which only says what it would do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from confrag.cli.arguments import parse
from confrag.cli.output import reserved_stdout
from confrag.cli.progress import shown
from confrag.config import Config, compose
from confrag.config.overrides import split_queries
from confrag.config.validate import validate
from confrag.errors import UserError

if TYPE_CHECKING:
    from confrag.runtime.app import App

__all__ = ["USAGE", "ingest", "plan"]

USAGE = {
    "ingest": "usage: confrag ingest [conf=NAME] [output=json] [override ...]\n\n"
    "Brings the store up to date with the corpus and the configuration: reads and embeds what is new, removes what\n"
    "is gone. A model is loaded only when there is something to embed. It may be interrupted, or killed, at any\n"
    "moment: the next one goes on from there.",
    "plan": "usage: confrag plan [conf=NAME] [output=json] [override ...]\n\n"
    "Says what 'confrag ingest' would do and why, how many texts it would embed and how many the embedding cache\n"
    "has. Writes nothing and loads no model.\n\n"
    "exit codes: 0 nothing is to do, 3 there is something to do",
}
WORK = 3
"""Exit code of `plan` when there is something to do."""


def ingest(argv: Sequence[str]) -> int:
    """Bring the store up to date."""
    with reserved_stdout() as out:
        from confrag.cli.text import announce, announce_work

        app, config = _load(argv, "ingest")
        with shown(config.progress) as progress:
            report = app.ingest(progress, told=lambda work: announce_work(app, work))
        if config.output == "json":
            document = {
                "conf": app.compiled.name,
                "collection": app.compiled.collection,
                "corpus": report.as_dict(),
                "timings_s": app.timings_s,
            }
            out.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        announce(app, report)
    return 0


def plan(argv: Sequence[str]) -> int:
    """Say what is to do."""
    with reserved_stdout() as out:
        from confrag.cli.text import show_outlook

        app, config = _load(argv, "plan")
        with shown(config.progress) as progress:
            outlook = app.plan(progress)
        if config.output == "json":
            document = {"conf": app.compiled.name, **outlook.as_dict()}
            out.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        else:
            show_outlook(app.compiled.name, outlook, out)
    return 0 if outlook.up_to_date else WORK


def _load(argv: Sequence[str], verb: str) -> tuple[App, Config]:
    arguments = parse(argv)
    if arguments.multirun or arguments.hydra:
        raise UserError(f"{verb} works on one configuration; -m and Hydra's views belong to 'confrag run'")
    _, overrides = split_queries(arguments.overrides)
    composed = compose(overrides, arguments.config_dir)
    config = validate(composed)
    from confrag.build import prepare
    from confrag.plan import compile_plan

    prepare(verbose=config.verbose)
    from confrag.runtime.app import App

    return App(compile_plan(config, composed.name)), config
