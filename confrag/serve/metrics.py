"""What the service counts, for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from confrag.runtime.results import Answer, CorpusReport

__all__ = ["FOLDER", "STAGES", "Metrics"]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Name of the environment variable with the folder that the workers share; to be set before this module is imported."""
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
STAGES = ("rewrite", "retrieve", "rerank", "generate", "total")
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The figures of one service; those of all its workers, where there are several.

    Attributes:
        answered: questions of this worker.

    Args:
        corpus: what is known of the corpus, None before the engine has started.
    """

    def __init__(self, corpus: Callable[[], CorpusReport | None]) -> None:
        own = CollectorRegistry()
        self._requests = Counter("confrag_requests", "Requests.", ["method", "route", "status"], registry=own)
        self._request_s = Histogram(
            "confrag_request_seconds", "Until the response was complete.", ["route"], buckets=_BUCKETS, registry=own
        )
        self._stage_s = Histogram(
            "confrag_stage_seconds", "Stages of the questions.", ["stage"], buckets=_BUCKETS, registry=own
        )
        self._looked = Counter("confrag_cache", "Questions that were looked up in the cache.", ["result"], registry=own)
        self._tokens = Counter("confrag_tokens", "Tokens, as the models counted them.", ["kind"], registry=own)
        self._running = Gauge("confrag_running", "Under way.", registry=own, multiprocess_mode="livesum")
        self._waiting = Gauge("confrag_queue_length", "Waiting.", registry=own, multiprocess_mode="livesum")
        self._hit_s, self._hits = self._stage_s.labels("total"), self._looked.labels("hit")
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.answered = 0
        # Under several workers the figures lie in files, and one response to /metrics tells those of all.
        shown = CollectorRegistry()
        if os.environ.get(FOLDER):
            MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
        else:
            shown.register(own)
        shown.register(_Corpus(corpus))
        self._shown = shown

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            route: the path as it is declared, so that there are few of them.
        """
        counted = self._counted.get((method, route, status))
        if counted is None:  # the library looks at the environment each time that labels are asked for
            known = method if method in _METHODS else "other"  # a client may call it anything
            counted = self._requests.labels(known, route, str(status)), self._request_s.labels(route)
            if known == method:
                self._counted[method, route, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    def answer(self, answer: Answer, *, has_cache: bool) -> None:
        """Count an answer."""
        self.answered += 1
        for stage in STAGES:
            if milliseconds := answer.timings_ms.get(stage):
                self._stage_s.labels(stage).observe(milliseconds / 1000)
        if has_cache:
            self._looked.labels("hit" if answer.cached else "miss").inc()
        for kind, count in answer.tokens.items():
            self._tokens.labels(kind).inc(count)

    def hit(self, seconds: float) -> None:
        """Count an answer that was at hand."""
        self.answered += 1
        self._hit_s.observe(seconds)
        self._hits.inc()

    def load(self, running: int, waiting: int) -> None:
        """Note how much there is to do."""
        self._running.set(running)
        self._waiting.set(waiting)

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self._shown)


class _Corpus:
    """The figures of the corpus: the workers share it, so each of them can tell."""

    def __init__(self, corpus: Callable[[], CorpusReport | None]) -> None:
        self._corpus = corpus

    def collect(self) -> Iterator[Any]:
        report = self._corpus()
        if report is None:
            return
        yield InfoMetricFamily("confrag_corpus", "Version of the corpus.", value={"version": report.version})
        yield GaugeMetricFamily("confrag_files", "Files of the corpus.", value=report.files)
        nodes = GaugeMetricFamily("confrag_nodes", "Nodes of a group.", labels=["group"])
        for group, count in report.nodes.items():
            nodes.add_metric([group], count)
        yield nodes
