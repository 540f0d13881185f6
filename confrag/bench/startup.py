"""Bench `startup`: how long a start takes, the first and the ones after it, and what it embeds and stores.

Each start is timed in a process of its own, from the creation of the engine to the answer to a first question; the
imports are done by then. LazyLLM by itself does the same, with the same documents, embedding model, chunk sizes and
kind of store, in turn with the engine.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confrag.bench.processes import call, seconds
from confrag.bench.report import Measurements, Report, Row
from confrag.bench.request import Request
from confrag.build.progress import ProgressFn
from confrag.config.overrides import quote
from confrag.errors import UserError, nearest
from confrag.evaluate.machine import machine, versions
from confrag.plan import Plan
from confrag.registry.readers import EXTENSIONS
from confrag.runtime.corpus import Scan, scan

__all__ = ["ratios", "run"]

STARTS = ("first", "second", "third")
MEASURES = (
    *(f"{start} start" for start in STARTS),
    "retrieval",
    "texts embedded",
    "rows",
    "vectors",
    "distinct texts found",
    "imports",
    "process to first retrieval",
    "whole process",
)
"""In the order of the report; those that are taken after each start name it behind a comma."""
QUESTIONS = 6
"""The first is part of the start, the others are timed."""
IMPORT = "import lazyllm.tools.rag"
_PACKAGES = ("confrag", "lazyllm", "chromadb", "pymilvus", "milvus-lite", "onnxruntime", "numpy")
# Without the vocabulary that confrag registers, LazyLLM's import would download it.
_IMPORT_CODE = f"from confrag.build.private.imports import offline_tokenizer; offline_tokenizer(); {IMPORT}"


@dataclass(frozen=True)
class Store:
    """A kind of store: confrag's option, and the `store_conf` of LazyLLM's documentation, files in ``{}``."""

    option: str
    kind: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def plain(self, folder: Path) -> dict[str, Any]:
        """LazyLLM's `store_conf` with its files in a folder."""
        kwargs = {k: v.format(folder) if isinstance(v, str) else v for k, v in self.kwargs.items()}
        return {"type": self.kind, **({"kwargs": kwargs} if kwargs else {})}


STORES = {
    "map": Store("map", "map"),
    "chroma": Store("chroma", "chroma", {"dir": "{}/chroma"}),
    "milvus": Store(
        "milvus_hnsw",
        "milvus",
        {"uri": "{}/milvus.db", "index_kwargs": {"index_type": "HNSW", "metric_type": "COSINE"}},
    ),
}
NOTES = (
    "A start ends with the answer to a first question; imports are not counted, embedding is. `process to first "
    f"retrieval` is a whole process with nothing to do, imports included; `{IMPORT}` a process that does only that.",
    "Times are medians. LazyLLM's map store lives in memory: its rows are those of the process.",
)


def run(request: Request, progress: ProgressFn) -> Report:
    """Measure.

    Raises:
        UserError: a store that is not known here, or a configuration that the bench cannot vary.
        ConfragError: a process failed.
    """
    stores = _selected(request.words)
    if request.chooses("store_conf"):
        raise UserError(f"store_conf: bench startup chooses the stores; name them as words: {', '.join(STORES)}")
    config = request.config()
    plan, *_ = [request.plan(*_overrides(request, store)) for store in stores]  # all of them, to be sure
    corpus = plan.corpus
    found = scan(corpus.paths, corpus.include, corpus.exclude, {*EXTENSIONS, *corpus.readers})
    with tempfile.TemporaryDirectory(prefix="confrag-bench-") as folder:
        bench = _Startup(request, stores, _plain_settings(plan), Path(folder), progress)
        rows = bench.measure(found, config.bench.repeats)
    return Report(
        bench="startup",
        rows=tuple(rows),
        ratios=ratios(rows),
        machine=machine(load=True),
        versions=versions(_PACKAGES),
        charted=tuple(f"{start} start" for start in STARTS),
        notes=NOTES,
    )


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """The relations between the figures of one run, by name; see docs/benchmarks.md."""
    value = {(row.case, row.measure): row.value for row in rows}
    found: dict[str, float] = {}
    for case in dict.fromkeys(row.case for row in rows if row.measure == "second start"):
        prefix, store = ("lazyllm_", case.removeprefix("lazyllm_")) if case.startswith("lazyllm_") else ("", case)
        first, second = (
            value[case, f"rows, {start} start"] + value[case, f"vectors, {start} start"] for start in STARTS[:2]
        )
        found[f"{prefix}second_over_first_{store}"] = value[case, "second start"] / value[case, "first start"]
        found[f"{prefix}texts_embedded_second_{store}"] = value[case, "texts embedded, second start"]
        found[f"{prefix}rows_growth_second_{store}"] = (second - first) / first
        if (process := value.get((case, "process to first retrieval"))) is not None:
            found[f"process_over_import_{store}"] = process / value[IMPORT, "whole process"]
    return found


def _selected(words: Sequence[str]) -> list[str]:
    for word in words:
        if word not in STORES:
            hint = f". Did you mean '{near}'?" if (near := nearest(word, STORES)) else ""
            raise UserError(f"bench startup knows no store '{word}'; known: {', '.join(STORES)}{hint}")
    return [store for store in STORES if store in words or not words]


def _overrides(request: Request, store: str) -> list[str]:
    """What the bench itself sets. No model answers, so none has to be loaded."""
    answering = [] if request.chooses("llm") else ["llm=extractive"]
    return [f"store_conf={STORES[store].option}", *answering]


def _plain_settings(plan: Plan) -> dict[str, int]:
    """Sizes of LazyLLM's chunks, and how many to find: those of the first retriever by vectors.

    Raises:
        UserError: there is none, or LazyLLM by itself could not do the same.
    """
    by_vectors = [retriever for retriever in plan.retrievers if retriever.mode == "embedding"]
    embedders = [model for model in plan.models if model.role == "embed"]
    if not by_vectors or len(embedders) != 1:
        raise UserError(
            "retrievers: bench startup compares searches by vectors, of one embedding model; try recall=dense"
        )
    group = next(group for group in plan.groups if group.name == by_vectors[0].group)
    if group.kind != "sentence_splitter":
        raise UserError(
            f"node_groups.{group.name}.transform.kind = '{group.kind}': bench startup compares with LazyLLM's "
            "sentence splitter; use kind sentence_splitter"
        )
    sizes = {key: int(group.params[key]) for key in ("chunk_size", "chunk_overlap")}
    return {**sizes, "topk": by_vectors[0].topk}


class _Startup:
    """The measuring of one call."""

    def __init__(
        self, request: Request, stores: Sequence[str], plain: Mapping[str, int], folder: Path, progress: ProgressFn
    ) -> None:
        self._request = request
        self._stores = stores
        self._cases = [*stores, *(f"lazyllm_{store}" for store in stores)]
        self._plain = plain
        self._folder = folder
        self._progress = progress
        self._taken = Measurements()
        self._modules: dict[str, list[str]] = {}
        self._done = self._total = 0

    def measure(self, found: Scan, repeats: int) -> list[Row]:
        """Every figure."""
        self._total = len(self._cases) * (1 + repeats * len(STARTS)) + repeats * (1 + len(self._stores))
        self._progress("processes", 0, self._total)
        documents = _copy(found, self._folder / "documents")
        # What a start imports is found out by one that does not count, over a few small files.
        few = _copy(_smallest_of_each_kind(found), self._folder / "few")
        for case in self._cases:
            self._modules[case] = self._start(case, "rehearsal", few, self._folder / "rehearsal" / case)["modules"]
        for _ in range(repeats):
            places = {case: self._folder / "states" / case for case in self._cases}
            for start in STARTS:
                self._starts(start, documents, places)
            self._processes(documents, places)
            shutil.rmtree(self._folder / "states")
        return sorted(self._taken.rows(), key=lambda row: MEASURES.index(row.measure.partition(",")[0]))

    def _starts(self, start: str, documents: Path, places: Mapping[str, Path]) -> None:
        """One start of each case, and what lies in its store afterwards."""
        held = {}
        for case, place in places.items():
            result = self._start(case, start, documents, place)
            held[case] = result.get("held")
            self._taken.add(case, f"{start} start", "s", result["start_s"])
            self._taken.add(case, "retrieval", "ms", *result["retrieval_ms"])
            self._taken.add(case, f"texts embedded, {start} start", "texts", result["embedded"])
            self._taken.add(case, f"distinct texts found, {start} start", "texts", len(set(result["texts"])))
        counted = call(
            "confrag.bench.rows:count_all", {case: str(p) for case, p in places.items()}, "counting the rows"
        )
        for case in places:
            texts, vectors = held[case] or counted[case]
            self._taken.add(case, f"rows, {start} start", "rows", texts)
            self._taken.add(case, f"vectors, {start} start", "vectors", vectors)

    def _processes(self, documents: Path, places: Mapping[str, Path]) -> None:
        """Whole processes over stores that are up to date, beside one that only imports LazyLLM."""
        for store in self._stores:
            begun = time.time()
            job = self._job(documents, store, places[store])
            result = call("confrag.bench.startup_child:engine_process", job, f"bench startup: {store}: process")
            self._taken.add(store, "imports", "s", result["imports_s"])
            self._taken.add(store, "process to first retrieval", "s", result["ready"] - begun)
            self._step()
        self._taken.add(IMPORT, "whole process", "s", seconds(_IMPORT_CODE, f"bench startup: {IMPORT}"))
        self._step()

    def _start(self, case: str, start: str, documents: Path, place: Path) -> dict[str, Any]:
        place.mkdir(parents=True, exist_ok=True)
        store = case.removeprefix("lazyllm_")
        job = {**self._job(documents, store, place), "modules": self._modules.get(case, ())}
        function = "engine_start"
        if case != store:
            function = "plain_start"
            job |= {**self._plain, "folder": str(documents), "store_conf": STORES[store].plain(place)}
        label = f"bench startup: {case}: {start} start"
        result = call(f"confrag.bench.startup_child:{function}", job, label)
        self._step()
        if not result["texts"] and case == store:
            raise UserError(f"{label} found nothing in the corpus; a start cannot be timed by it")
        return result

    def _job(self, documents: Path, store: str, place: Path) -> dict[str, Any]:
        places = [f"corpus.path={quote(str(documents))}", f"state_dir={quote(str(place))}"]
        question = self._request.question
        return {
            "overrides": [*self._request.overrides, *_overrides(self._request, store), *places],
            "config_dir": self._request.config_dir,
            # An engine may remember a question.
            "questions": [question, *(f"{question} ({number})" for number in range(1, QUESTIONS))],
        }

    def _step(self) -> None:
        self._done += 1
        self._progress("processes", self._done, self._total)


def _copy(found: Scan, folder: Path) -> Path:
    """The documents in a folder of the bench's own: the same for everybody, whatever happens to the originals."""
    for file in found.files:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)
    return folder


def _smallest_of_each_kind(found: Scan) -> Scan:
    smallest: dict[str, Any] = {}
    for file in sorted(found.files, key=lambda file: file.path.stat().st_size):
        smallest.setdefault(file.path.suffix.lower(), file)
    return Scan(tuple(smallest.values()), ())
