"""Verb `run`: answer questions, once or for each job of a sweep."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from confrag.cli.arguments import Arguments, parse
from confrag.cli.output import reserved_stdout, say
from confrag.cli.questions import questions_of
from confrag.config.compose import CONFIG_MODULE, Composed, compose, explain, plain
from confrag.config.overrides import normalize, quote, split_queries
from confrag.config.sources import check_option, group_names, user_config_dir
from confrag.config.validate import validate
from confrag.errors import ConfragError

if TYPE_CHECKING:
    from confrag.config import Config
    from confrag.runtime.app import App
    from confrag.runtime.results import Answer

__all__ = ["USAGE", "hydra_main", "hydra_view", "run", "shared_overrides"]

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
    # Before Hydra makes the job's folder: a mistake must leave nothing behind.
    if arguments.multirun:
        compose(shared_overrides(overrides, arguments), arguments.config_dir)
    else:
        questions_of(validate(compose(overrides, arguments.config_dir)))
    jobs: list[dict[str, Any]] = []
    failures: list[Exception] = []
    with reserved_stdout() as out:

        def job(config: DictConfig) -> None:
            try:
                _job(config, arguments, out, jobs)
            except Exception as error:  # noqa: BLE001 - raised below, where Hydra does not comment on it
                failures.append(error)

        hydra_main(arguments, overrides, job)
        if failures:
            raise failures[0]
        if arguments.multirun:
            _summary(jobs, out, any(o.lstrip("+") == "output=json" for o in overrides))
    return next((job["exit_code"] for job in jobs if job["exit_code"]), 0)


def _job(config: DictConfig, arguments: Arguments, out: TextIO, jobs: list[dict[str, Any]]) -> None:
    settings = HydraConfig.get()
    overrides = [o.lstrip("+") for o in settings.overrides.task if not o.lstrip("+").startswith(("query=", "output="))]
    entry: dict[str, Any] = {"overrides": overrides, "exit_code": 0, "error": None, "result": None}
    jobs.append(entry)
    try:
        composed = plain(config, DictConfig(settings), user_config_dir(arguments.config_dir))
        entry["result"] = _execute(composed, Path(settings.runtime.output_dir), out, arguments.multirun)
    except ConfragError as error:
        if not arguments.multirun:
            raise
        entry.update(exit_code=error.exit_code, error=str(error))
        say(f"confrag: job {len(jobs) - 1} ({', '.join(overrides)}) failed: {error}")


def _execute(composed: Composed, folder: Path, out: TextIO, sweep: bool) -> dict[str, Any]:
    config = validate(composed)
    questions = questions_of(config)
    resolved = yaml.safe_dump(composed.data, sort_keys=False, allow_unicode=True)
    (folder / "config.yaml").write_text(resolved, "utf-8")
    from confrag.cli.progress import shown
    from confrag.cli.text import announce, announce_work, show_answer

    with shown(config.progress) as progress:
        app = _load(composed, config)
        app.start(progress, told=lambda work: announce_work(app, work))
    with app:
        announce(app, app.corpus)
        answers = []
        as_text = config.output == "text"
        for question in questions:
            if as_text and len(questions) > 1:
                out.write(f"Q: {question}\n")
            answer = _reply(app, question, config, out)
            answers.append(answer)
            _log.info("%s: %s ms", question, answer.timings_ms["total"])
            if as_text:
                show_answer(answer, out, told=_streams(config, out))
        if not questions and not sweep and as_text and sys.stdin.isatty() and out.isatty():
            answers += _converse(app, config, out)
        document = _document(composed, app, answers)
    text = json.dumps(document, ensure_ascii=False, indent=2)
    (folder / "run.json").write_text(text + "\n", "utf-8")
    if config.output == "json" and not sweep:
        out.write(text + "\n")
    return document


def _load(composed: Composed, config: Config) -> App:
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
