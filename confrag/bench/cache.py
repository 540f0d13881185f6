"""Bench `cache`: the same question without a cache and with each of them, and a stream of questions as users ask them.

Everything is timed in this process through the whole graph that the configuration compiles to. Unless a model is
chosen (``llm=...``), answers are quotations: what is measured is the retrieval that a hit saves. Where caches are named
as words, the stream is left out unless it is named, too.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from confrag.bench.report import Measurements, Report, Row
from confrag.bench.request import Request
from confrag.build import prepare
from confrag.build.progress import ProgressFn
from confrag.config.overrides import quote
from confrag.errors import UserError, nearest
from confrag.evaluate.machine import machine, versions

if TYPE_CHECKING:
    from confrag.runtime.app import App

__all__ = ["CASES", "ratios", "run", "zipf"]

CASES = {
    "none": ["cache=none"],
    "memory": ["cache=exact", "cache.backend=memory"],
    "disk": ["cache=exact", "cache.backend={kind: disk}"],
    "redis": ["cache=exact", "cache.backend={kind: redis, prefix: confrag-bench}"],
    "semantic": ["cache=semantic", "cache.backend=memory"],
}
"""Case -> what it sets."""
RUNS = 5
"""As in the tutorial; for each repetition."""
OTHER_WORDS = ("So, {}", "Please: {}", "{} (please)", "{}!", "Tell me: {}")
STREAM = 2000
"""Questions of the stream."""
FEW = 100
"""Of these, without a cache."""
DISTINCT = 500
"""Different ones among them."""
EXPONENT = 1.1
"""Of Zipf's law: the r-th most frequent question is asked in proportion to 1 / r ** EXPONENT."""
NOTES = (
    f"`question`: the median of {RUNS} runs for each repetition; with a cache, the runs after the first one. "
    "`semantic` is asked the question in slightly other words each time. Without a cache the vector of a question that "
    "is repeated is remembered all the same.",
    f"`stream`: {STREAM:,} questions, {DISTINCT} different ones by Zipf's law (exponent {EXPONENT}), made of passages "
    f"of the corpus; the same ones for all, and the first {FEW} of them without a cache.",
)


def run(request: Request, progress: ProgressFn) -> Report:
    """Measure.

    Raises:
        UserError: a cache that is not known here, or an override that the bench sets itself.
    """
    cases = _selected([word for word in request.words if word != "stream"])
    streams = not request.words or "stream" in request.words
    if request.chooses("cache"):
        raise UserError(f"cache: bench cache chooses the caches; name them as words: {', '.join(CASES)}")
    notes = list(NOTES)
    if "redis" in cases and not os.environ.get("CONFRAG_REDIS_URL"):
        cases.remove("redis")
        notes.append("No Redis: CONFRAG_REDIS_URL is not set.")
    config = request.config()
    prepare()
    taken = Measurements()
    with tempfile.TemporaryDirectory(prefix="confrag-bench-") as folder:
        for number, case in enumerate(cases):
            with _app(request, case, Path(folder)) as app:
                _repeat(app, case, request.question, config.bench.repeats, taken)
                if streams:
                    asked = zipf(_questions(app), STREAM)
                    # Without a cache they are all alike.
                    asked = asked[:FEW] if case == "none" else asked
                    _stream(app, case, asked, taken, _part(progress, number, len(cases)))
    rows = taken.rows()
    return Report(
        bench="cache",
        rows=tuple(rows),
        ratios=ratios(rows),
        machine=machine(load=True),
        versions=versions(("confrag", "lazyllm", "redis")),
        charted=("question", "stream, p50", "stream, p95") if streams else ("question",),
        notes=tuple(notes),
    )


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """The relations between the figures of one run, by name; see docs/benchmarks.md."""
    value = {(row.case, row.measure): row.value for row in rows}
    found = {}
    for case in CASES:
        if case == "none" or (case, "question") not in value:
            continue
        if ("none", "question") in value:
            found[f"uncached_over_hit_{case}"] = value["none", "question"] / value[case, "question"]
        found[f"hit_ms_{case}"] = value[case, "question"]
    return found


def zipf(questions: Sequence[str], count: int, seed: int = 7) -> list[str]:
    """`count` questions drawn by Zipf's law, the first one most often; the same for the same seed."""
    weights = [1 / rank**EXPONENT for rank in range(1, len(questions) + 1)]
    return random.Random(seed).choices(questions, weights, k=count)


def _selected(words: Sequence[str]) -> list[str]:
    for word in words:
        if word not in CASES:
            hint = f". Did you mean '{near}'?" if (near := nearest(word, CASES)) else ""
            raise UserError(f"bench cache knows no '{word}'; known: {', '.join(CASES)}, stream{hint}")
    return [case for case in CASES if case in words or not words]


@contextmanager
def _app(request: Request, case: str, folder: Path) -> Iterator[App]:
    from confrag.runtime.app import App

    answering = [] if request.chooses("llm") else ["llm=extractive"]
    # One state for all: each text is embedded once.
    app = App(request.plan(*answering, *CASES[case], f"state_dir={quote(str(folder))}"))
    with app:
        if app.cache:
            app.cache.clear()
        yield app
        if app.cache:
            app.cache.clear()


def _repeat(app: App, case: str, question: str, repeats: int, taken: Measurements) -> None:
    app.ask("something else, so that everything has been used once")
    app.ask(question)
    hits = 0
    for number in range(RUNS * repeats):
        asked = OTHER_WORDS[number % RUNS].format(question) if case == "semantic" else question
        begun = time.perf_counter()
        answer = app.ask(asked)
        taken.add(case, "question", "ms", (time.perf_counter() - begun) * 1000)
        hits += answer.cached
    taken.add(case, "question, hits", "", hits)


def _questions(app: App) -> list[str]:
    """Different questions: beginnings of the passages that the corpus has."""
    hits = app.retrieve("a", topk=DISTINCT)
    words = [hit.text.split() for hit in hits]
    starts = [f"{' '.join(text[at : at + 6])}?" for at in range(0, 600, 6) for text in words if text[at : at + 6]]
    return list(dict.fromkeys(starts))[:DISTINCT]


def _stream(app: App, case: str, questions: Sequence[str], taken: Measurements, progress: ProgressFn) -> None:
    times, hits = [], 0
    for number, question in enumerate(questions, start=1):
        begun = time.perf_counter()
        hits += app.ask(question).cached
        times.append((time.perf_counter() - begun) * 1000)
        progress("stream", number, len(questions))
    times.sort()
    taken.add(case, "stream, p50", "ms", times[len(times) // 2])
    taken.add(case, "stream, p95", "ms", times[int(len(times) * 0.95)])
    taken.add(case, "stream, hit rate", "", hits / len(questions))


def _part(progress: ProgressFn, number: int, of: int) -> ProgressFn:
    def part(stage: str, done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            progress(stage, number * total + done, of * total)

    return part
