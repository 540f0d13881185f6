"""One evaluation: a configuration, a dataset, and a folder in which everything about it is kept.

The folder: ``config.yaml`` (resolved), ``eval.json`` (all figures), ``queries.jsonl`` (a line a query), ``run.trec``.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confrag.build.at_once import at_once
from confrag.build.models.chat import ChatModel
from confrag.build.progress import ProgressFn, silent
from confrag.build.writing import Writer
from confrag.config import Composed, Config
from confrag.errors import ConfragError, UserError
from confrag.evaluate import outputs, summary
from confrag.evaluate.asking import Asking
from confrag.evaluate.dataset import Dataset, Query
from confrag.evaluate.documents import write_documents
from confrag.evaluate.identity import identity
from confrag.evaluate.journal import Journal
from confrag.evaluate.judge import MAX_TOKENS, Judge
from confrag.evaluate.named import dataset_of
from confrag.evaluate.provenance import provenance
from confrag.evaluate.turn import turn
from confrag.plan.compile import compile_plan, model_plan
from confrag.plan.model import Plan
from confrag.registry import builder
from confrag.runtime.app import App, nothing
from confrag.runtime.work import Work
from confrag.schema.corpus import CorpusSpec
from confrag.schema.evaluation import is_retrieval_metric

__all__ = ["evaluate"]

_GIVES_UP = 10
"""Queries that fail, from the first on, before an evaluation ends."""

Say = Callable[[str], None]


def silence(text: str) -> None:
    """Say nothing."""


def evaluate(
    composed: Composed,
    config: Config,
    folder: Path,
    progress: ProgressFn = silent,
    say: Say = silence,
    told: Callable[[App, Work], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a configuration.

    Args:
        composed: the configuration as it was composed.
        config: the same, validated; it names a dataset.
        folder: where the results go; it is there.
        progress: told how far it has got.
        say: told what a user should know, in lines.
        told: told what is to be done to the corpus, before it is done.

    Returns:
        What ``eval.json`` holds. Of an evaluation that fails, the file says so, too.

    Raises:
        ConfragError: the dataset, the configuration or the engine is of no use, or every query fails.
    """
    started = outputs.now()
    outputs.write_config(folder, composed)
    try:
        found = _Evaluation(composed, config, progress, say, told).run(folder, started)
    except Exception as error:
        outputs.write_failure(folder, composed, error, started)
        raise
    document = outputs.head(composed) | found
    outputs.write_document(folder, document)
    return document


@dataclass
class _Evaluation:
    composed: Composed
    config: Config
    progress: ProgressFn
    say: Say
    told: Callable[[App, Work], None] | None

    def run(self, folder: Path, started: str) -> dict[str, Any]:
        """Do it; what ``eval.json`` holds but its head."""
        config, settings = self.config, self.config.eval
        dataset = dataset_of(config, self.composed.name)
        for note in dataset.notes:
            self.say(f"{dataset.name}: {note}")
        queries = _drawn(dataset.queries, config.dataset.queries, settings.seed)
        state = Path(config.state_dir).expanduser()
        corpus = state / "datasets" / dataset.corpus_hash
        plan = compile_plan(_with_corpus(config, corpus) if dataset.own is None else config, self.composed.name)
        answering = _answers(config, dataset)
        self._check_objective(dataset, answering)
        documents = write_documents(dataset.documents, corpus) if dataset.own is None else {}
        key = identity(config, plan, dataset, answering=answering)
        with Journal.opened(state / "evals" / key, resume=config.resume, waiting=self._waiting(plan)) as journal:
            if journal.rows:
                self.say(f"{plan.name}: going on; {len(journal.rows):,} of {len(queries):,} queries are done")
            self._fill(journal, plan, queries, documents, answering)
            about, raw = journal.about, journal.rows
        rows = summary.measured(dataset, queries, raw, self._metrics(), answering=answering)
        done = [row for row in rows if row["error"] is None]
        failed = len(rows) - len(done)
        if failed:
            self.say(f"{plan.name}: {failed:,} of {len(rows):,} queries failed, the first with: {_first_error(rows)}")
        outputs.write_rows(folder, rows, plan.name)
        document: dict[str, Any] = {
            "key": key,
            "status": "done",
            "error": None,
            "failed_queries": failed,
            "dataset": _described(dataset, queries),
            "metrics": summary.means(rows),
            "latency_ms": summary.latencies(done),
            "tokens": summary.tokens(row["tokens"] for row in done),
            "cost": summary.cost(
                (row["spent"] for row in done), {name: config.models[name].price for name in _asked(plan, answering)}
            ),
            "cache": {"hit_rate": sum(row["cached"] for row in done) / len(done)} if plan.cache and done else None,
            "corpus": about["corpus"],
            "timings_s": about["timings_s"],
            "judge": None,
            "provenance": {
                **provenance([*plan.models, *self._judges(plan)], settings.seed),
                "started": started,
                "ended": outputs.now(),
            },
        }
        if settings.judge and answering:
            document["judge"] = summary.judged(done, settings.judge, config.models[settings.judge].price)
        return document | {"objective": summary.objectives(document, config.objective)}

    def _waiting(self, plan: Plan) -> Callable[[], None]:
        return lambda: self.say(f"{plan.name}: another evaluation of the same is under way; waiting for it to end")

    def _metrics(self) -> list[str]:
        """The metrics of retrieval, those among the objectives included."""
        wanted = [*self.config.eval.metrics, *filter(is_retrieval_metric, self.config.objective)]
        return list(dict.fromkeys(wanted))

    def _check_objective(self, dataset: Dataset, answering: bool) -> None:
        """Raises UserError when an objective cannot be measured: hours later, it would be too late."""
        for name in self.config.objective:
            reason = ""
            if is_retrieval_metric(name) and not dataset.judged:
                reason = "the dataset does not say which documents are relevant (files or qrels); take f1, for instance"
            elif name in ("exact_match", "f1", "contains") and not dataset.answered:
                reason = "the queries of the dataset come without 'answers'; take ndcg@10, for instance"
            elif name in ("exact_match", "f1", "contains", "citation_precision", "judge") and not answering:
                reason = "no answers are evaluated; set eval.answers=true"
            if reason:
                raise UserError(f"objective = '{name}': {reason}")

    def _judges(self, plan: Plan) -> list[Any]:
        name = self.config.eval.judge
        known = {model.name for model in plan.models}
        return [model_plan(self.config, name)] if name and name not in known else []

    def _fill(
        self, journal: Journal, plan: Plan, queries: Sequence[Query], documents: Mapping[str, str], answering: bool
    ) -> None:
        """Ask what the journal lacks."""
        todo = [query for query in queries if query.id not in journal.rows]
        if not todo and journal.about:
            return
        with self._judge(answering) as judge, self._started(plan) as app:
            first = journal.about or {
                "corpus": app.corpus.as_dict(),
                "timings_s": {**app.timings_s, "queries": 0.0},
            }
            journal.describe(first)
            asking = Asking(app, documents, answering, self.config.eval.depth, judge)
            _warm_up(app, todo)
            before, begun = first["timings_s"]["queries"], time.perf_counter()
            try:
                self._ask(asking, journal, todo)
            finally:
                timings = {**first["timings_s"], "queries": round(before + time.perf_counter() - begun, 3)}
                journal.describe({**first, "timings_s": timings})

    @contextmanager
    def _started(self, plan: Plan) -> Iterator[App]:
        app = App(plan)
        evaluations = Path(self.config.state_dir).expanduser() / "evals"
        with (
            turn(plan, evaluations, self.say),
            app.start(self.progress, partial(self.told, app) if self.told else nothing),
        ):
            yield app

    def _ask(self, asking: Asking, journal: Journal, todo: Sequence[Query]) -> None:
        stopped, failures = threading.Event(), []
        self.progress("evaluate", 0, len(todo))
        for done, row in enumerate(at_once(asking, todo, self.config.eval.concurrency, stopped), start=1):
            journal.add(row)
            self.progress("evaluate", done, len(todo))
            if row["error"] is not None:
                failures.append(row)
            if len(failures) == done == min(_GIVES_UP, len(todo)):
                raise _whole(failures, len(todo))

    @contextmanager
    def _judge(self, answering: bool) -> Iterator[Judge | None]:
        """The judge, if there is one: a model of its own, even where the same one answers."""
        name, prompt = self.config.eval.judge, self.config.prompts.judge
        if name is None or prompt is None or not answering:
            yield None
            return
        planned = model_plan(self.config, name)
        model: ChatModel = builder("models", planned.kind)(
            role=planned.role, **planned.params.thaw(), progress=self.progress
        )
        try:
            writer = Writer(model, temperature=0.0, max_tokens=MAX_TOKENS)
            yield Judge(lambda system, message: writer.write(system, message, "judge"), prompt.system, prompt.user)
        finally:
            model.close()


def _warm_up(app: App, todo: Sequence[Query]) -> None:
    """Have what only the first question has to wait for done before the clock runs."""
    for query in todo[:1]:
        # In the words of a query, so that it goes the same way; not quite, so that no vector is at hand already.
        with suppress(Exception):  # a query that meets the same tells of it
            app.warm_up(f"{query.text} ?")


def _with_corpus(config: Config, folder: Path) -> Config:
    """The configuration over the documents of a dataset; what is said of the files of another corpus goes with it."""
    return config.model_copy(update={"corpus": CorpusSpec(path=(str(folder),), on_error=config.corpus.on_error)})


def _drawn(queries: Sequence[Query], count: int | None, seed: int) -> tuple[Query, ...]:
    """So many of the queries, in their order."""
    if count is None or count >= len(queries):
        return tuple(queries)
    chosen = set(random.Random(seed).sample(range(len(queries)), count))
    return tuple(query for place, query in enumerate(queries) if place in chosen)


def _answers(config: Config, dataset: Dataset) -> bool:
    """Whether the model answers."""
    wanted = config.eval.answers
    writes = config.models[config.generation.model].kind != "extractive"
    return dataset.answered and writes if wanted == "auto" else wanted


def _asked(plan: Plan, answering: bool) -> list[str]:
    """Names of the chat models that are asked about a question."""
    idle = set(plan.only_for_ingest) | (set() if answering or plan.cache else {plan.answer.model})
    return [m.name for m in plan.models if m.role == "chat" and m.kind != "extractive" and m.name not in idle]


def _described(dataset: Dataset, queries: Sequence[Query]) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "path": str(dataset.path),
        "split": dataset.split,
        "documents": dataset.size,
        "own": dataset.own is not None,
        "queries": len(queries),
        "hash": dataset.hash,
        "language": dataset.language,
    }


def _whole(failures: Sequence[Mapping[str, Any]], asked: int) -> ConfragError:
    """The error of an evaluation in which nothing was answered."""
    error = ConfragError(
        f"none of the first {len(failures):,} of {asked:,} queries was answered: {_first_error(failures)}"
    )
    error.exit_code = int(failures[0]["exit_code"])
    return error


def _first_error(rows: Iterable[Mapping[str, Any]]) -> str:
    return next(str(row["error"]) for row in rows if row["error"] is not None)
