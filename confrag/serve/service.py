"""One worker's engine, behind an event loop: questions run in threads, so many at once, and for so long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

from confrag.build.cache.policy import AnswerCache, Looked
from confrag.build.nodes import document_id
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.runtime.app import App, nothing
from confrag.runtime.results import Answer, CorpusReport, Hit
from confrag.runtime.work import Work
from confrag.schema.serve import ServeSpec
from confrag.serve.admission import Admission
from confrag.serve.metrics import Metrics
from confrag.serve.problems import ProblemError
from confrag.serve.security import Tokens

__all__ = ["Pieces", "Service", "State"]

State = Literal["new", "starting", "ready", "closing"]
Filtering = Mapping[str, Any] | None
Turns = Sequence[Mapping[str, str]]
T = TypeVar("T")


class Service:
    """An engine that many clients ask.

    Attributes:
        app: the engine.
        documents: those that it answers from.
        settings: `serve` of the configuration.
        name: of the model, as clients of OpenAI's interface know it.
        metrics: what was counted.
        tokens: what callers have to show.
        admission: who runs and who waits.
        begun: when it was created, in seconds of the monotonic clock.

    Args:
        app: not started yet, or started.
        settings: `serve` of the configuration.
        progress: told how far the start has got.
        told: told what the start has to do.
    """

    def __init__(
        self,
        app: App,
        settings: ServeSpec,
        progress: ProgressFn = silent,
        told: Callable[[Work], None] = nothing,
    ) -> None:
        self.app = app
        self.documents = app.documents
        self.settings = settings
        self.name = settings.model or app.compiled.name
        self.tokens = Tokens.of(settings)
        self.begun = time.monotonic()
        self.metrics = Metrics(lambda: self.corpus)
        self.admission = Admission(settings.max_concurrency, settings.queue, self.metrics.load)
        self.state: State = "new"
        self._progress, self._told = progress, told
        self._threads = ThreadPoolExecutor(settings.max_concurrency, "confrag-ask")

    @property
    def corpus(self) -> CorpusReport | None:
        """What is known of the corpus; None before the engine has started."""
        return self.app.corpus if self.state == "ready" else None

    def start(self) -> None:
        """Start the engine; does nothing when that was done. Blocks. Raises what `App.start` does."""
        if self.state != "new":
            return
        self.state = "starting"
        self.app.start(self._go_on, self._told)
        if self.state == "starting":
            self.state = "ready"

    def stop(self) -> None:
        """Take no more questions, and give a start up at the next sign of progress."""
        self.state = "closing"

    def close(self) -> None:
        """End the engine, and the questions that have not begun. Blocks; may be called more than once."""
        self.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.app.close()

    @property
    def cache_at_hand(self) -> AnswerCache | None:
        """The cache; None where there is none, or while the engine is not ready."""
        return self.app.cache if self.state == "ready" else None

    def known(self, query: str, filters: Filtering = None, history: Turns = ()) -> tuple[Answer, Looked] | None:
        """An answer that is at hand, which counts as answered; see `App.known`. Raises ProblemError (503)."""
        self.check_ready()
        if known := self.app.known(query, filters, history):
            self.metrics.hit(known[0].timings_ms["total"] / 1000)
        return known

    async def ask(self, query: str, filters: Filtering = None, history: Turns = ()) -> Answer:
        """Answer a question; see `App.ask`. It is given up when this is cancelled, or takes too long.

        Raises:
            ProblemError: 429, 503 or 504: too many questions, an engine that is not ready, a question that takes too
                long.
        """
        if known := self.known(query, filters, history):
            return known[0]
        answer = await self._do(lambda given_up: self.app.ask(query, filters, history, given_up=given_up))
        self.metrics.answer(answer, has_cache=self.app.cache is not None)
        return answer

    async def retrieve(
        self, query: str, topk: int | None = None, filters: Filtering = None, history: Turns = ()
    ) -> list[Hit]:
        """What the recall finds; see `App.retrieve`. Raises what `ask` does."""
        return await self._do(lambda given_up: self.app.retrieve(query, topk, filters, history, given_up=given_up))

    def stream(self, query: str, filters: Filtering = None, history: Turns = ()) -> Pieces:
        """The answer piece by piece. Raises what `ask` does, when the first piece is asked for."""
        return Pieces(self, query, filters, history)

    async def work(self, work: Callable[[], T]) -> T:
        """Do something else that blocks, in the place of a question. Raises what `ask` does."""
        return await self._do(lambda given_up: work())

    def source(self, hit: Hit) -> dict[str, Any]:
        """A hit as plain data, with the id of its file."""
        return {
            "id": hit.id,
            "file": hit.file,
            "file_id": document_id(hit.file) if hit.file else None,
            "group": hit.group,
            "score": hit.score,
            "rerank_score": hit.rerank_score,
            "route": hit.route,
            "text": hit.text,
            "metadata": hit.metadata,
        }

    def check_ready(self) -> None:
        """Raises ProblemError (503) unless questions can be answered."""
        if self.state != "ready":
            what = "is being shut down" if self.state == "closing" else "is starting"
            raise ProblemError(503, f"the service {what}; ask again in a moment", {"Retry-After": "2"})

    def too_late(self) -> ProblemError:
        """What is said when a question takes too long."""
        return ProblemError(504, f"there was no answer within {self.settings.timeout_s:g} s (serve.timeout_s)")

    async def enter(self) -> Callable[[], None]:
        """Wait for a place among the questions under way; returns what gives it back. Raises what `ask` does."""
        self.check_ready()
        return await self.admission.enter()

    def submit(self, work: Callable[[], T], leave: Callable[[], None]) -> asyncio.Future[T]:
        """Run something in a thread; the place is given back when it has ended, however long others wait for it."""
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(self._threads, work)
        except RuntimeError:  # the threads have ended
            leave()
            self.check_ready()
            raise

        def ended(done: asyncio.Future[T]) -> None:
            leave()
            _ = done.cancelled() or done.exception()  # who has gone does not ask any more how it ended

        running.add_done_callback(ended)
        return running

    def ingest_state(self) -> dict[str, Any]:
        """What is done with the documents in the background."""
        doing = self.documents.doing.as_dict()
        return {**doing, "error": doing["error"] or None}

    def _go_on(self, stage: str, done: int, total: int) -> None:
        if self.state == "closing":
            raise InterruptedError("the service is being shut down")
        self._progress(stage, done, total)

    async def _do(self, work: Callable[[threading.Event], T]) -> T:
        begun, given_up = time.monotonic(), threading.Event()
        try:
            leave = await asyncio.wait_for(self.enter(), self.settings.timeout_s)
            running = self.submit(lambda: work(given_up), leave)
            left = self.settings.timeout_s - (time.monotonic() - begun)
            # A thread cannot be ended from outside: it keeps its place until it looks whether to go on.
            return await asyncio.wait_for(asyncio.shield(running), left)
        except asyncio.TimeoutError:
            raise self.too_late() from None
        finally:
            given_up.set()


class Pieces(AsyncIterator[str]):
    """The pieces of an answer. The question is given up when nobody listens any more."""

    def __init__(self, service: Service, query: str, filters: Filtering, history: Turns) -> None:
        self._service = service
        self._question = (query, filters, history)
        self._answer: Answer | None = None
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._running: asyncio.Future[Answer] | None = None
        self._deadline = time.monotonic() + service.settings.timeout_s
        self._ahead: list[str | None] = []
        self._given_up = threading.Event()

    @property
    def answer(self) -> Answer:
        """The whole answer. Raises UserError while pieces are still to come."""
        if self._answer is None:
            raise UserError("the answer is complete only when its stream has ended")
        return self._answer

    async def open(self) -> None:
        """Wait for a place and for the first piece; without it, `anext` does so. Raises what `Service.ask` does."""
        if self._running is None:
            try:
                await self._begin()
                self._ahead = [await self._take()]
            except BaseException:
                self.close()
                raise

    async def _begin(self) -> None:
        self._service.check_ready()
        if known := self._service.app.known(*self._question):
            self._running = asyncio.get_running_loop().create_future()
            self._running.set_result(known[0])
            for piece in (known[0].text, None):
                self._queue.put_nowait(piece)
            return
        try:
            leave = await asyncio.wait_for(self._service.enter(), self._deadline - time.monotonic())
        except asyncio.TimeoutError:
            raise self._service.too_late() from None
        loop = asyncio.get_running_loop()

        def sink(piece: str) -> None:
            loop.call_soon_threadsafe(self._queue.put_nowait, piece)

        ask = partial(self._service.app.ask, *self._question, sink=sink, given_up=self._given_up)
        self._running = self._service.submit(ask, leave)
        # However it ends: refused before the first piece, or never begun because the threads have ended.
        self._running.add_done_callback(lambda done: self._queue.put_nowait(None))

    async def __anext__(self) -> str:
        await self.open()
        if self._answer is not None and not self._ahead:
            raise StopAsyncIteration
        piece = self._ahead.pop() if self._ahead else await self._take()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _take(self) -> str | None:
        """The next piece, None at the end."""
        assert self._running is not None
        try:
            left = self._deadline - time.monotonic()
            ready = not self._queue.empty()
            piece = self._queue.get_nowait() if ready else await asyncio.wait_for(self._queue.get(), left)
        except asyncio.TimeoutError:
            self.close()
            raise self._service.too_late() from None
        if piece is not None:
            return piece
        answer = self._answer = await self._running
        self._service.metrics.answer(answer, has_cache=self._service.app.cache is not None)
        return None

    def close(self) -> None:
        """Stop listening; the question is given up."""
        self._given_up.set()
