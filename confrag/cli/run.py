"""Verb `run`: answer questions, once or for each job of a sweep."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from confrag.cli.arguments import Arguments, parse
from confrag.cli.launch import config_dir_of, hydra_main, hydra_view
from confrag.cli.output import kept_stdout, reserved_stdout, say
from confrag.cli.questions import questions_of
from confrag.cli.sweep import documents, exit_code, launch, planned
from confrag.config.compose import Composed, compose, plain
from confrag.config.overrides import quote, split_queries
from confrag.config.validate import validate
from confrag.errors import ConfragError
from confrag.evaluate.outputs import now, write_config
from confrag.evaluate.written import write_json

if TYPE_CHECKING:
    from confrag.config import Config
    from confrag.runtime.app import App
    from confrag.runtime.results import Answer

__all__ = ["USAGE", "job", "keep", "load", "run"]

KEPT = "run.json"
_ABOUT = ("overrides", "exit_code", "error", "provenance")
"""Keys of a job's file beside those that ``output=json`` shows."""

USAGE = {
    "run": """\
usage: confrag run [conf=NAME] [query="..."] [override ...]

Validates the configuration, brings its store up to date with the corpus and answers.

  query="..."            a question, taken as it stands; several: query=A query=B, or query='["A", "B"]'
  queries_file=PATH      one question a line; or JSON lines with the key "query"
  (neither)              on a terminal: a prompt; elsewhere: the store is brought up to date, nothing is asked
  filters.FIELD=VALUE    only from documents whose metadata match; also 'filters.FIELD={">=": VALUE}'
  stream=true|false      show answers while they are written (default: on a terminal)
  output=json            one JSON document on standard output
  progress=true|false    progress on standard error (default: on a terminal)
  -m                     a job for each combination of comma-separated values, then one table of them

examples:
  confrag run conf=milvus_hnsw corpus.path=docs query="What is it about?"
  confrag run conf=hybrid llm=extractive retrievers.chunk.topk=10 query="..."
  confrag run -m conf=map,chroma,milvus_hnsw query="..."

The resolved configuration, the JSON and the log of every run are kept below state_dir (.confrag/runs)."""
}

_log = logging.getLogger("confrag")


def run(argv: Sequence[str]) -> int:
    """Run one job, or a sweep of them."""
    arguments = parse(argv)
    queries, overrides = split_queries(arguments.overrides)
    if queries:
        overrides.append(f"++query=[{','.join(map(quote, queries))}]")
    if arguments.hydra:
        hydra_view(arguments, overrides)
        return 0
    if arguments.multirun:
        return _sweep(arguments, overrides)
    # Before Hydra makes the job's folder: a mistake must leave nothing behind.
    questions_of(validate(compose(overrides, arguments.config_dir)))
    failures: list[BaseException] = []
    with reserved_stdout():

        def single(config: DictConfig) -> None:
            try:
                _executed(config, sweep=False)
            except BaseException as error:  # noqa: BLE001 - raised below, where Hydra does not comment on it
                failures.append(error)

        hydra_main(arguments, overrides, single)
        if failures:
            raise failures[0]
    return 0


def _sweep(arguments: Arguments, overrides: Sequence[str]) -> int:
    sweep = planned("run", arguments, overrides)
    with reserved_stdout() as out:
        launch(sweep, arguments, job)
        jobs = [_entry(kept) for kept in documents(sweep.folder, KEPT)]
        _summary(jobs, out, any(o.lstrip("+") == "output=json" for o in overrides))
    return exit_code(jobs)


def job(config: DictConfig) -> None:
    """One job of a sweep. A launcher may call it in another process; ``run.json`` in its folder tells how it went."""
    settings, started = HydraConfig.get(), now()
    try:
        _executed(config, sweep=True)
    except Exception as error:  # noqa: BLE001 - it must not end the sweep
        told = _told(settings)
        say(f"confrag: job {settings.job.num} ({', '.join(told)}) failed: {error}")
        if not isinstance(error, ConfragError) or config.get("debug"):
            say("".join(traceback.format_exception(error)).rstrip())
        failed = {"overrides": told, "exit_code": getattr(error, "exit_code", 1), "error": str(error)}
        write_json(
            Path(settings.runtime.output_dir) / KEPT, {**failed, "provenance": {"started": started, "ended": now()}}
        )


def _entry(kept: dict[str, Any]) -> dict[str, Any]:
    """A job in the summary of its sweep, of what it has kept."""
    result = {key: value for key, value in kept.items() if key not in _ABOUT}
    return {key: kept[key] for key in ("overrides", "exit_code", "error")} | {"result": result or None}


def _told(settings: Any) -> list[str]:
    """What was set, as it is typed; without questions."""
    typed = [override.lstrip("+") for override in settings.overrides.task]
    return [override for override in typed if not override.startswith(("query=", "output="))]


def _executed(config: DictConfig, *, sweep: bool) -> None:
    """Answer the questions of one configuration; all about it is kept in the job's folder."""
    settings, started = HydraConfig.get(), now()
    composed = plain(config, DictConfig(settings), config_dir_of(settings))
    folder, out = Path(settings.runtime.output_dir), kept_stdout()
    checked = validate(composed)
    questions = questions_of(checked)
    write_config(folder, composed)
    from confrag.cli.progress import shown
    from confrag.cli.text import announce, announce_work, show_answer

    with shown(checked.progress) as progress:
        app = load(composed, checked)
        app.start(progress, told=lambda work: announce_work(app, work))
    with app:
        announce(app, app.corpus)
        answers = []
        as_text = checked.output == "text"
        for question in questions:
            if as_text and len(questions) > 1:
                out.write(f"Q: {question}\n")
            answer = _reply(app, question, checked, out)
            answers.append(answer)
            _log.info("%s: %s ms", question, answer.timings_ms["total"])
            if as_text:
                show_answer(answer, out, told=_streams(checked, out))
        if not questions and not sweep and as_text and sys.stdin.isatty() and out.isatty():
            answers += _converse(app, checked, out)
        document = keep(folder, composed, checked, app, answers, _told(settings), started)
    if checked.output == "json" and not sweep:
        shown_keys = {key: value for key, value in document.items() if key not in _ABOUT}
        out.write(json.dumps(shown_keys, ensure_ascii=False, indent=2) + "\n")


def keep(
    folder: Path,
    composed: Composed,
    config: Config,
    app: App,
    answers: Sequence[Answer],
    overrides: Sequence[str],
    started: str,
) -> dict[str, Any]:
    """Write what a run has found, and what it was made with, beside its configuration.

    Args:
        folder: of the job.
        composed: the configuration.
        config: the same, validated.
        app: started.
        answers: to the questions, in their order.
        overrides: what was set, as it is typed.
        started: when, as ISO 8601 has it.

    Returns:
        What ``run.json`` holds.
    """
    from confrag.evaluate.provenance import provenance

    about = {**provenance(app.compiled.models, config.eval.seed), "started": started, "ended": now()}
    document = {
        **_document(composed, app, answers),
        "overrides": list(overrides),
        "exit_code": 0,
        "error": None,
        "provenance": about,
    }
    write_json(folder / KEPT, document)
    return document


def load(composed: Composed, config: Config) -> App:
    """The engine of a configuration, not started."""
    from confrag.build import prepare
    from confrag.plan import compile_plan

    prepare(verbose=config.verbose)
    from confrag.runtime.app import App

    return App(compile_plan(config, composed.name))


def _document(composed: Composed, app: App, answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "conf": composed.name,
        "collection": app.compiled.collection,
        "corpus": app.corpus.as_dict(),
        "timings_s": app.timings_s,
        **({"cache": app.cache.statistics()} if app.cache else {}),
        "answers": [answer.as_dict() for answer in answers],
    }


def _streams(config: Config, out: TextIO) -> bool:
    """Whether the answer is shown while it is written."""
    return _asks_for_pieces(config, out) and config.output == "text"


def _asks_for_pieces(config: Config, out: TextIO) -> bool:
    if config.stream is not None:
        return config.stream
    return config.generation.stream and config.output == "text" and out.isatty()


def _reply(app: App, question: str, config: Config, out: TextIO) -> Answer:
    if not _asks_for_pieces(config, out):
        return app.ask(question, config.filters)
    shown = _streams(config, out)
    with closing(app.stream(question, config.filters)) as pieces:  # Ctrl-C stops the model, too
        for piece in pieces:
            if shown:
                out.write(piece)
                out.flush()
    if shown:
        out.write("\n")
    return pieces.answer


def _converse(app: App, config: Config, out: TextIO) -> list[Answer]:
    from confrag.cli.text import show_answer

    say("Ask a question; an empty line or Ctrl-D ends.")
    answers: list[Answer] = []
    while True:
        sys.stderr.write("> ")
        sys.stderr.flush()
        question = sys.stdin.readline().strip()
        if not question:
            return answers
        try:
            answer = _reply(app, question, config, out)
        except ConfragError as error:
            say(f"confrag: {error}")
            continue
        show_answer(answer, out, told=_streams(config, out))
        answers.append(answer)


def _summary(jobs: list[dict[str, Any]], out: TextIO, as_json: bool) -> None:
    if as_json:
        out.write(json.dumps({"jobs": jobs}, ensure_ascii=False, indent=2) + "\n")
        return
    from confrag.cli.text import show_jobs

    show_jobs(jobs, out)
