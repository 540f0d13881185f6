"""A configuration at work: `App`."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import lazyllm
from lazyllm.tools.rag import DocNode

from confrag.build.answer import Reply
from confrag.build.document import INDICES, build_document, build_store_conf, build_transforms
from confrag.build.graph import Graph, build_graph
from confrag.build.models.fingerprint import fingerprint
from confrag.build.nodes import FILE
from confrag.build.private import close as close_document
from confrag.build.progress import ProgressFn, silent
from confrag.build.trace import Trace, tracing
from confrag.errors import ConfragError, UserError
from confrag.plan import Plan, describe
from confrag.registry import builder
from confrag.runtime.cached_embedder import CachedEmbedder
from confrag.runtime.collection import claim, collection_dir, locked
from confrag.runtime.embedding_cache import EmbeddingCache, cache_file
from confrag.runtime.ingest import find_files, ingest
from confrag.runtime.results import Answer, CorpusReport, Hit

__all__ = ["App", "Stream"]

_log = logging.getLogger("confrag")


class App:
    """A plan, brought to life by `start` and ended by `close`; a context manager does both.

    Creating one is cheap: models are loaded and the store is opened by `start`. Questions may be asked from several
    threads at once.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._resources: ExitStack | None = None
        self._graph: Graph | None = None
        self._corpus: CorpusReport | None = None
        self.timings_s: dict[str, float] = {}

    def start(self, progress: ProgressFn = silent) -> App:
        """Load the models, bring the store up to date with the corpus, compile the graph.

        Raises:
            UserError: a corpus, model or place on disk that cannot be used.
            ServiceError: a server that does not answer.
            StoreError: the store could not be written.
        """
        if self._resources is not None:
            return self
        begun = time.perf_counter()
        found = find_files(self.plan.corpus)
        with ExitStack() as stack:
            directory = collection_dir(self.plan.state_dir, self.plan.collection)
            conf = build_store_conf(self.plan, directory)
            stack.enter_context(locked(directory, conf))
            models: dict[str, Any] = {}
            for model in self.plan.models:
                build = builder("models", model.kind)
                models[model.name] = build(role=model.role, **model.params.thaw(), progress=progress)
                stack.callback(models[model.name].close)
            loaded = time.perf_counter()
            claim(directory, conf)
            embedders = self._embedders(models, stack)
            transforms = build_transforms(self.plan.groups)
            document, lexical = build_document(self.plan, conf, embedders, transforms)
            stack.callback(close_document, document)
            graph = build_graph(self.plan, document, models, INDICES)
            corpus = ingest(self.plan, found, document, embedders, transforms, progress)
            for retriever in self.plan.retrievers:
                if retriever.mode == "text":
                    lexical.build(retriever.group, retriever.similarity)
            self._graph, self._corpus, self._resources = graph, corpus, stack.pop_all()
        ready = time.perf_counter()
        self.timings_s = {"start": round(loaded - begun, 3), "ingest": round(ready - loaded, 3)}
        return self

    def close(self) -> None:
        """Free the models, the store and the servers that were started. May be called more than once."""
        resources, self._resources, self._graph = self._resources, None, None
        if resources:
            resources.close()

    def __enter__(self) -> App:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def graph(self) -> Any:
        """The LazyLLM pipeline: question -> `Reply`."""
        return self._started().whole

    @property
    def corpus(self) -> CorpusReport:
        """What `start` did with the corpus."""
        self._started()
        assert self._corpus is not None
        return self._corpus

    def describe(self) -> dict[str, Any]:
        """The graph as plain data; needs no start."""
        return describe(self.plan)

    def ask(self, query: str) -> Answer:
        """Answer a question from the corpus.

        Raises:
            UserError: an empty question.
            ServiceError: a model or server does not answer.
            StoreError: the store could not be read.
        """
        return self._ask(query, None)

    def retrieve(self, query: str, topk: int | None = None) -> list[Hit]:
        """What the recall finds for a question, best first; the answering model is not asked.

        Args:
            query: the question.
            topk: how many hits; left out: as many as the configuration gives.
        """
        trace = Trace(limit=topk)
        nodes = self._run(self._started().recall, query, trace)
        return [_hit(node) for node in nodes][:topk]

    def stream(self, query: str) -> Stream:
        """The answer piece by piece; when the iteration is over, its `answer` holds the whole."""
        self._started()
        return Stream(lambda sink: self._ask(query, sink))

    async def aask(self, query: str) -> Answer:
        """`ask` without blocking the event loop."""
        return await asyncio.to_thread(self.ask, query)

    async def aretrieve(self, query: str, topk: int | None = None) -> list[Hit]:
        """`retrieve` without blocking the event loop."""
        return await asyncio.to_thread(self.retrieve, query, topk)

    async def astream(self, query: str) -> AsyncIterator[str]:
        """`stream` without blocking the event loop."""
        pieces = self.stream(query)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece
        finally:
            pieces.close()

    def _embedders(self, models: Mapping[str, Any], stack: ExitStack) -> dict[str, CachedEmbedder]:
        """The embedding models, with the cache that all collections of the `state_dir` share."""
        cache = None
        if self.plan.embedding_cache_mb:
            cache = EmbeddingCache(cache_file(self.plan.state_dir), self.plan.embedding_cache_mb * 2**20)
            stack.callback(cache.close)
        return {
            model.name: CachedEmbedder(models[model.name], cache, fingerprint(model), _log.warning)
            for model in self.plan.models
            if model.role == "embed"
        }

    def _started(self) -> Graph:
        if self._graph is None:
            raise UserError("the engine is not started; use `with app:` or call app.start()")
        return self._graph

    def _ask(self, query: str, sink: Callable[[str], None] | None) -> Answer:
        trace = Trace(sink=sink)
        begun = time.perf_counter()
        reply: Reply = self._run(self._started().whole, query, trace)
        total = round((time.perf_counter() - begun) * 1000, 3)
        stages = {stage: trace.milliseconds(stage) for stage in ("rewrite", "retrieve", "rerank", "generate")}
        return Answer(
            query=query,
            text=reply.text,
            sources=tuple(_hit(node) for node in reply.nodes),
            timings_ms={**stages, "total": total},
            tokens={"prompt": trace.prompt_tokens, "completion": trace.completion_tokens},
        )

    def _run(self, flow: Any, query: str, trace: Trace) -> Any:
        if not query.strip():
            raise UserError("query: the question is empty")
        with lazyllm.new_session(), tracing(trace):
            try:
                return flow(query)
            except ConfragError:
                raise
            except Exception as error:
                # LazyLLM wraps the error of a step and drops its type.
                if trace.error is None or isinstance(trace.error, type(error)):
                    raise
                raise trace.error from None


class Stream(Iterator[str]):
    """The pieces of an answer, as they are written by a thread of their own."""

    def __init__(self, ask: Callable[[Callable[[str], None]], Answer]) -> None:
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, args=(ask,), name="confrag-stream", daemon=True)
        self._thread.start()

    @property
    def answer(self) -> Answer:
        """The whole answer. Raises UserError while pieces are still to come."""
        if self._answer is None:
            raise UserError("the answer is complete only when its stream has ended")
        return self._answer

    def __next__(self) -> str:
        piece = self._pieces.get() if not self._stopped.is_set() else None
        if piece is not None:
            return piece
        self._stopped.set()
        if self._error:
            error, self._error = self._error, None
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop listening; the model is stopped at its next piece."""
        self._stopped.set()

    def _work(self, ask: Callable[[Callable[[str], None]], Answer]) -> None:
        try:
            self._answer = ask(self._sink)
        except BaseException as error:  # noqa: BLE001 - it is raised where the pieces are read
            self._error = error
        finally:
            self._pieces.put(None)

    def _sink(self, piece: str) -> None:
        if self._stopped.is_set():
            raise InterruptedError("the stream was closed")
        self._pieces.put(piece)


def _hit(node: DocNode) -> Hit:
    rerank = node.relevance_score
    metadata = {k: v for k, v in node.metadata.items() if not k.startswith("lazyllm_")}
    return Hit(
        id=node.uid,
        file=str(node.global_metadata.get(FILE, "")),
        group=node.group,
        score=None if node.similarity_score is None else float(node.similarity_score),
        rerank_score=None if rerank is None else float(rerank),
        route="+".join(getattr(node, "routes", ())),
        text=node.text,
        metadata=metadata,
    )
