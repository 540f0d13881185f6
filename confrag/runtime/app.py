"""A configuration at work: `App`."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from confrag.build.cache.make import build as build_cache
from confrag.build.cache.policy import AnswerCache, Looked
from confrag.build.document import INDICES
from confrag.build.graph import build_graph
from confrag.build.models.protocols import AnyEmbedder, SparseVector, Vectors
from confrag.build.private.store import embeds
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.plan import Plan, describe
from confrag.runtime.asking import Asker
from confrag.runtime.background import Background, Doing
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.collection import Collection
from confrag.runtime.documents import Documents
from confrag.runtime.inventory import find_files
from confrag.runtime.models import for_ingest, load_models
from confrag.runtime.outlook import Outlook, look_ahead
from confrag.runtime.overlay import Overlay
from confrag.runtime.questions import Questions
from confrag.runtime.results import Answer, CorpusReport, Found, Hit
from confrag.runtime.stream import Stream
from confrag.runtime.work import Work
from confrag.schema.filters import Filters, parse
from confrag.schema.history import parse_history

__all__ = ["App", "Stream"]

_log = logging.getLogger("confrag")
Filtering = Mapping[str, Any] | None
Turns = Sequence[Mapping[str, str]]


def nothing(work: Work) -> None:
    """Say nothing of what is to be done."""


class App:
    """A compiled plan, brought to life by `start` and ended by `close`; a context manager does both.

    Attributes:
        compiled: what the configuration comes to, as plain data.
        timings_s: seconds that the last start or ingest took, by part.
        documents: of the corpus, which may be added, changed and taken out while it runs.

    Creating one is cheap: models are loaded and the store is opened by `start`. Questions may be asked from several
    threads at once.

    Args:
        plan: of the configuration.
        may_be_empty: start although the corpus has no document; they are added later.
    """

    def __init__(self, plan: Plan, *, may_be_empty: bool = False) -> None:
        self.compiled = plan
        self._may_be_empty = may_be_empty
        self._overlay = Overlay(plan)
        self._background: Background | None = None
        self.documents = Documents(
            plan, self._overlay, lambda: self._collection or self._made(), self._changed, self._doing
        )
        self._resources: ExitStack | None = None
        self._questions: Questions | None = None
        self._corpus: CorpusReport | None = None
        self._collection: Collection | None = None
        self._cache: AnswerCache | None = None
        self._models: Mapping[str, Any] = {}
        self.timings_s: dict[str, float] = {}

    def start(self, progress: ProgressFn = silent, told: Callable[[Work], None] = nothing) -> App:
        """Load the models, bring the store up to date with the corpus, compile the graph.

        Args:
            progress: told how far long work has got.
            told: called once with what is to be done, before it is done.

        Raises:
            UserError: a corpus, model or place on disk that cannot be used.
            ServiceError: a server that does not answer.
            StoreError: the store could not be written.
        """
        if self._resources is not None:
            return self
        begun = time.perf_counter()
        # A mistake there is told before models are loaded.
        find_files(self.compiled.corpus, self._overlay, may_be_empty=self._may_be_empty)
        with ExitStack() as stack:
            models = load_models(self.compiled, stack, progress)
            loaded = time.perf_counter()
            collection = self._made(*for_ingest(self.compiled, stack, models, progress))
            stack.callback(collection.close)
            report = collection.open(progress, told)
            cache = build_cache(self.compiled, embeds(collection.document), collection.state, _log.warning)
            if cache:
                stack.callback(cache.close)
            graph = build_graph(self.compiled, collection.document, models, INDICES, cache, stack, collection.gate)
            self._background = Background(self._update)
            stack.callback(self._background.close)
            self._questions = Questions(self.compiled, graph, collection, cache)
            self._corpus, self._collection, self._cache = report, collection, cache
            self._models = models
            self._resources = stack.pop_all()
        ready = time.perf_counter()
        self.timings_s = {"start": round(loaded - begun, 3), "ingest": round(ready - loaded, 3)}
        return self

    def plan(self, progress: ProgressFn = silent) -> Outlook:
        """What an ingest would do and cost. Nothing is written, no model is loaded; needs no start.

        Raises:
            UserError: a corpus that cannot be read.
        """
        return look_ahead(self.compiled, self._made().work(), progress)

    def ingest(self, progress: ProgressFn = silent, told: Callable[[Work], None] = nothing) -> CorpusReport:
        """Bring the store up to date with the corpus, before a start or after it. Loads a model only to embed with it.

        Args:
            progress: told how far it has got.
            told: called once with what is to be done, before it is done.

        Raises:
            UserError: a corpus, model or place on disk that cannot be used.
            ServiceError: a server that does not answer.
            StoreError: the store could not be written.
        """
        if self._collection is not None:
            return self._update(progress, told)
        begun = time.perf_counter()
        with ExitStack() as stack:
            collection = self._made(*for_ingest(self.compiled, stack, {}, progress))
            stack.callback(collection.close)
            report = collection.open(progress, told)
        self.timings_s = {"start": 0.0, "ingest": round(time.perf_counter() - begun, 3)}
        return report

    def close(self) -> None:
        """Free the models, the store and the servers that were started. May be called more than once."""
        resources, self._resources, self._questions, self._collection = self._resources, None, None, None
        self._models = {}
        if resources:
            resources.close()
        self._background = None
        self._overlay.close()

    def __enter__(self) -> App:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def graph(self) -> Any:
        """The LazyLLM pipeline: question -> `Reply`."""
        return self._started().graph.whole

    @property
    def corpus(self) -> CorpusReport:
        """What the start, or the last ingest, did with the corpus; its size is that of now, whoever has written."""
        self._started()
        assert self._corpus is not None
        assert self._collection is not None
        self._corpus = self._collection.current(self._corpus)
        return self._corpus

    @property
    def cache(self) -> AnswerCache | None:
        """The cache of answers, or of what was retrieved; None where the configuration declares none."""
        return self._cache

    def describe(self) -> dict[str, Any]:
        """The graph as plain data; needs no start."""
        return describe(self.compiled)

    def ask(
        self,
        query: str,
        filters: Filtering = None,
        history: Turns = (),
        *,
        sink: Callable[[str], None] | None = None,
        given_up: threading.Event | None = None,
    ) -> Answer:
        """Answer a question from the corpus.

        Args:
            query: the question.
            filters: which documents may answer it: field -> value, list of allowed values, or ``{">=": value}``.
            history: what was said before, oldest first: ``{"role": "user" or "assistant", "content": text}``. A step
                `rewrite` makes a standalone question of it, and the prompts see it.
            sink: called with each piece of the answer while it is written.
            given_up: to be set, by any thread, when the answer is no longer wanted: the question ends at its next
                step, or while a model writes.

        Raises:
            UserError: an empty question, a filter on what is not declared, or a history that is none.
            InterruptedError: the question was given up.
            ServiceError: a model or server does not answer.
            StoreError: the store could not be read.
        """
        wanted, turns = self._filters(filters), parse_history(history)
        return self._started().ask(query, wanted, turns, sink, given_up)

    def known(self, query: str, filters: Filtering = None, history: Turns = ()) -> tuple[Answer, Looked] | None:
        """An answer that this process has in memory: without the way through the graph, in microseconds.

        Arguments as in `ask`.

        Returns:
            The answer, and what `cache` keeps of it, for `AnswerCache.still`; None where there is none at hand.
        """
        if self._questions is None:
            return None
        return self._questions.known(query, self._filters(filters), parse_history(history))

    def retrieve(
        self,
        query: str,
        topk: int | None = None,
        filters: Filtering = None,
        history: Turns = (),
        *,
        given_up: threading.Event | None = None,
    ) -> list[Hit]:
        """What the recall finds for a question, best first; the answering model is not asked.

        Args:
            query: the question.
            topk: how many hits; left out: as many as the configuration gives.
            filters: as in `ask`.
            history: as in `ask`.
            given_up: as in `ask`.
        """
        found = self.find(query, topk, filters, history, given_up=given_up)
        for branch, reason in found.missing.items():
            _log.warning("%r: without branch '%s': %s", query, branch, reason)
        return list(found.hits)[:topk]

    def find(
        self,
        query: str,
        topk: int | None = None,
        filters: Filtering = None,
        history: Turns = (),
        *,
        given_up: threading.Event | None = None,
    ) -> Found:
        """`retrieve` with what it took; hits beyond `topk` are given, too, where a step of the recall has them."""
        wanted, turns = self._filters(filters), parse_history(history)
        return self._started().find(query, topk, wanted, turns, given_up)

    def warm_up(self, query: str) -> None:
        """Go through the recall once, so that what models, indices and flows do at their first use is done.

        The cache neither sees the question nor answers it, and the answering model is not asked; one that rewrites is.

        Args:
            query: like those that will be asked, but none of them: the vector of a question is remembered.

        Raises:
            ServiceError, StoreError: as `ask`.
        """
        self._started().warm_up(query)

    def embed(
        self, texts: Sequence[str], model: str | None = None, *, questions: bool = False
    ) -> Vectors | list[SparseVector]:
        """Embed texts as the engine does it. Nothing of it is kept.

        Args:
            texts: at least one.
            model: name of an embedding model; may be left out where the configuration uses one only.
            questions: they are questions, not texts of a corpus; many models put different words before the two.

        Returns:
            `[n, dim] float32` in the order of the texts; of a sparse model a list of token id -> weight.

        Raises:
            UserError: no such model.
            ServiceError: its server does not answer.
        """
        self._started()
        names = [entry.name for entry in self.compiled.models if entry.role == "embed"]
        if model is None and len(names) == 1:
            model = names[0]
        if model not in names:
            known = f"there are: {', '.join(names)}" if names else "the configuration uses none"
            raise UserError(f"model = {model!r:.80}: no embedding model of that name; {known}")
        embedder: AnyEmbedder = self._models[model]
        if not questions:
            return embedder.passages(texts)
        vectors: Any = [embedder.query(text) for text in texts]
        return vectors if isinstance(vectors[0], Mapping) else np.stack(vectors)

    def stream(self, query: str, filters: Filtering = None, history: Turns = ()) -> Stream:
        """The answer piece by piece; when the iteration is over, its `answer` holds the whole. Arguments as in `ask`.

        The pieces together are the text of the answer. Who stops listening (`Stream.close`, or the loop over it left)
        stops the model.
        """
        self._started()
        wanted, turns = self._filters(filters), parse_history(history)
        return Stream(lambda sink, given_up: self._started().ask(query, wanted, turns, sink, given_up))

    async def aask(self, query: str, filters: Filtering = None, history: Turns = ()) -> Answer:
        """`ask` without blocking the event loop."""
        return await asyncio.to_thread(self.ask, query, filters, history)

    async def aretrieve(
        self, query: str, topk: int | None = None, filters: Filtering = None, history: Turns = ()
    ) -> list[Hit]:
        """`retrieve` without blocking the event loop."""
        return await asyncio.to_thread(self.retrieve, query, topk, filters, history)

    async def astream(self, query: str, filters: Filtering = None, history: Turns = ()) -> AsyncIterator[str]:
        """`stream` without blocking the event loop."""
        pieces = self.stream(query, filters, history)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece
        finally:
            pieces.close()

    def _made(
        self, embedders: Mapping[str, CachedEmbedder] = MappingProxyType({}), askers: Mapping[str, Asker] | None = None
    ) -> Collection:
        return Collection(self.compiled, self._overlay, embedders, askers, may_be_empty=self._may_be_empty)

    def _update(
        self, progress: ProgressFn, told: Callable[[Work], None] = nothing, again: Sequence[str] = ()
    ) -> CorpusReport:
        assert self._collection is not None
        self._corpus = self._collection.update(progress, told, again)
        return self._corpus

    def _changed(self, again: Sequence[str]) -> Callable[[], None]:
        """Have a change of the documents taken up; where the engine is not started, the next start does it."""
        if (background := self._background) is None:
            return lambda: None
        return partial(background.wait, background.wake(again))

    def _doing(self) -> tuple[Doing, frozenset[str]]:
        return (self._background.doing, self._background.at) if self._background else (Doing(), frozenset())

    def _started(self) -> Questions:
        if self._questions is None:
            raise UserError("the engine is not started; use `with app:` or call app.start()")
        return self._questions

    def _filters(self, filters: Filtering) -> Filters:
        return parse(filters or {}, self.compiled.corpus.doc_fields)
