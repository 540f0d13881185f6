"""Verb `eval`: how good a configuration is on a dataset, or each of a sweep."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from confrag.cli.arguments import Arguments, parse
from confrag.cli.launch import config_dir_of, hydra_main, hydra_view
from confrag.cli.output import reserved_stdout, say
from confrag.cli.report import compare
from confrag.cli.sweep import Sweep, documents, exit_code, launch, planned
from confrag.config import Composed, Config, compose, validate
from confrag.config.compose import plain
from confrag.config.evaluation_checks import questions
from confrag.config.overrides import split_queries
from confrag.errors import ConfigError, ConfragError, UserError

__all__ = ["USAGE", "eval", "job"]

USAGE = {
    "eval": """\
usage: confrag eval [conf=NAME] dataset.path=DIR [override ...]

Asks the configuration every query of a dataset and compares with what is known to be right.

  dataset.path=DIR       a folder with questions about the documents of corpus.path, or a dataset, see below
  dataset.queries=N      so many of the queries, drawn by eval.seed
  eval.metrics=[...]     of retrieval: ndcg@10, recall@10, mrr@10, map@10, p@5, success@1, ...
  eval.depth=N           ask every route for at least so many nodes (default: as many as users get)
  eval.answers=true      let the model answer, and compare (default: where there are answers, and a model that writes)
  eval.judge=NAME        have a chat model grade the answers
  objective=NAME         what a sweep is judged by (default: ndcg@10)
  resume=true            go on where an evaluation of the same was interrupted
  output=json            one JSON document on standard output
  -m                     an evaluation for each combination of comma-separated values, then a table and a report;
                         jobs that fail are listed there, and end nothing
  hydra/sweeper=optuna   with -m: Optuna chooses combinations for the objective, hydra.sweeper.n_trials=20 of them
  hydra/launcher=joblib  with -m: hydra.launcher.n_jobs=2 at once, each in a process of its own; ray: on a cluster

Questions about documents of your own: DIR holds queries.jsonl, a line for each, with the files that are right (named as
below corpus.path), the answers, or both. The documents stay where they are, and as they are.

  {"text": "When does the workshop open?", "files": ["visiting.md"], "answers": ["at ten"]}

A dataset in the layout of BEIR: DIR holds corpus.jsonl, queries.jsonl and qrels/test.tsv. Its documents take the place
of the corpus.

examples:
  confrag eval -m conf=map recall=dense,hybrid llm=extractive corpus.path=docs dataset.path=questions
  confrag eval conf=map llm=extractive dataset.path=cranfield
  confrag eval -m conf=map,milvus_hnsw recall=dense,hybrid llm=extractive dataset.path=cranfield
  confrag eval -m conf=hybrid dataset.path=cranfield hydra/sweeper=optuna 'objective=[ndcg@10,latency_ms_p50]' \\
    'retrievers.chunk.weight=tag(log,interval(0.1,10))' 'retrievers.lexical.topk=range(5,50)'

Figures, a line for each query and a run file of TREC are kept below state_dir (.confrag/runs, .confrag/sweeps)."""
}

_GOES_ON = "confrag: what is done is kept; the same command with resume=true goes on"
_log = logging.getLogger("confrag")
_NO_DATASET = (
    "dataset.path: a value is required here: a folder with queries.jsonl, for example; set it with dataset.path=DIR "
    "(confrag eval --help)"
)


def eval(argv: Sequence[str]) -> int:  # noqa: A001 - the verb's name
    """Evaluate one configuration, or each of a sweep."""
    arguments = parse(argv)
    queries, overrides = split_queries(arguments.overrides)
    if queries:
        raise UserError("eval asks the queries of the dataset; leave query= out")
    if arguments.hydra:
        hydra_view(arguments, overrides)
        return 0
    if arguments.multirun:
        return _sweep(arguments, overrides)
    # Before Hydra makes a folder: a mistake must leave nothing behind.
    _validated(compose(overrides, arguments.config_dir))
    documents: list[dict[str, Any]] = []
    failures: list[BaseException] = []
    with reserved_stdout() as out:

        def single(config: DictConfig) -> None:
            try:
                documents.append(_evaluated(config))
            except BaseException as error:  # noqa: BLE001 - raised below, where Hydra does not comment on it
                failures.append(error)

        hydra_main(arguments, overrides, single)
        if failures:
            if isinstance(failures[0], KeyboardInterrupt):
                say(_GOES_ON)
            raise failures[0]
        for document in documents:
            _show(document, out, as_json=_asked_for_json(overrides))
    return 0


def _sweep(arguments: Arguments, overrides: Sequence[str]) -> int:
    """Evaluate each of a sweep. What is done is reported, whatever becomes of the rest."""
    sweep = planned("eval", arguments, overrides)
    if not sweep.sets("dataset.path"):
        raise UserError(_NO_DATASET)
    _look_at_questions(sweep)
    as_json = _asked_for_json(overrides)
    with reserved_stdout() as out:
        try:
            launch(sweep, arguments, job)
        except KeyboardInterrupt:
            say(_GOES_ON)
            raise
        finally:
            jobs = documents(sweep.folder, "eval.json")
            _report(sweep.folder, jobs, None if as_json else out)
        if as_json:
            out.write(json.dumps({"folder": str(sweep.folder), "jobs": jobs}, ensure_ascii=False, indent=2) + "\n")
    return exit_code(jobs)


def _report(folder: Path, jobs: Sequence[Mapping[str, Any]], out: TextIO | None) -> None:
    """What can be compared. An error is not raised: it must not stand in front of what ended the sweep."""
    if all(job.get("status") != "done" for job in jobs):
        return  # each has said why
    try:
        compare([folder], folder, out)
    except UserError as error:
        say(f"confrag: no report: {error}")


def _look_at_questions(sweep: Sweep) -> None:
    """Raises UserError for what is wrong with a dataset that all jobs share: once, and not once a job."""
    if any(key.split(".")[0] in ("conf", "corpus", "dataset") for key in sweep.swept):
        return
    try:
        config = validate(sweep.shared, questions)
    except ConfigError:
        return  # what is missing may be what is swept; each job tells by itself
    from confrag.build import prepare

    prepare(verbose=config.verbose)
    from confrag.evaluate.named import dataset_of

    dataset_of(config, sweep.shared.name)


def job(config: DictConfig) -> float | list[float | None] | None:
    """Evaluate one configuration of a sweep. A launcher may call it in another process.

    Returns:
        The objective, or a list of them in their order; None for what was not measured (Optuna takes that for a
        failure, and goes on). When the evaluation fails, ``eval.json`` in the folder of the job says why.
    """
    names = config.get("objective") or ["ndcg@10"]
    wanted = [names] if isinstance(names, str) else list(names)
    try:
        found: Mapping[str, float | None] = _evaluated(config)["objective"]
    except Exception as error:  # noqa: BLE001 - it must not end the sweep
        settings = HydraConfig.get()
        number, overrides = settings.job.num, ", ".join(word.lstrip("+") for word in settings.overrides.task)
        say(f"confrag: job {number} ({overrides}) failed: {error}")
        if not isinstance(error, ConfragError) or config.get("debug"):
            say("".join(traceback.format_exception(error)).rstrip())
        found = {}
    values = [found.get(name) for name in wanted]
    return values if len(values) > 1 else values[0]


def _evaluated(config: DictConfig) -> dict[str, Any]:
    """What ``eval.json`` of the job that Hydra is running holds."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    composed = plain(config, DictConfig(settings), config_dir_of(settings))
    try:
        checked = _validated(composed)
    except ConfragError as error:
        from confrag.evaluate.outputs import now, write_failure

        write_failure(folder, composed, error, now())
        raise
    from confrag.build import prepare

    prepare(verbose=checked.verbose)
    from confrag.cli.progress import shown
    from confrag.cli.text import announce_work
    from confrag.evaluate.job import evaluate

    with shown(checked.progress) as progress:
        document = evaluate(composed, checked, folder, progress, say, announce_work)
    _log.info("%s: %s", composed.name, document["metrics"])
    return document | {"folder": str(folder)}


def _validated(composed: Composed) -> Config:
    """The configuration, with a dataset.

    Raises:
        UserError: there is none; or anything else is wrong with it.
    """
    config = validate(composed, questions)
    if config.dataset.path is None:
        raise UserError(_NO_DATASET)
    return config


def _asked_for_json(overrides: Sequence[str]) -> bool:
    return any(override.lstrip("+") == "output=json" for override in overrides)


def _show(document: Mapping[str, Any], out: TextIO, *, as_json: bool) -> None:
    if as_json:
        out.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return
    from confrag.cli.figures import show_evaluation

    show_evaluation(document, out)
    say(f"kept in {document['folder']}")
