"""Bench `index`: words looked up in a long list, and the nearest of many vectors.

All are asked through LazyLLM's own retriever, each in a process of its own; beside it what the look-up takes by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confrag.bench.processes import call
from confrag.bench.report import Measurements, Report, Row
from confrag.bench.request import Request
from confrag.bench.word_list import words
from confrag.build.progress import ProgressFn
from confrag.errors import UserError, nearest
from confrag.evaluate.machine import machine, versions

__all__ = ["ratios", "run"]

SIZES = (1_614, 10_000, 100_000)
WORDS = "words"
LOOK_UPS = {"default": 1, "linear": 30, "trie": 1000}
"""Case -> how often each word is looked up."""
VECTORS = {"default": 100_000, "exact": 300_000, "hnsw": 2_000_000, "raw_hnswlib": 2_000_000, "milvus_hnsw": 2_000_000}
"""Case -> questions times vectors, at most: LazyLLM's own takes a second for each ten thousand vectors."""
_QUESTIONS = (3, 200)
"""At least, and at most."""
ADDED = "lazyllm"
_PACKAGES = ("confrag", "lazyllm", "hnswlib", "pymilvus", "milvus-lite", "numpy")
NOTES = (
    "`retrieval` goes through LazyLLM's retriever; `look-up` and `search` are what the index takes of it, the nodes "
    "not looked up; the ratios of trie and raw hnswlib are of these. `default` is LazyLLM by "
    "itself, on its map store: BM25 for words, cosine for vectors; the words are looked up there once.",
    f"The words are those of the package english-words, spelt differently counted twice; '{ADDED}' is added to them.",
    "Vectors have 384 components, in 100 clusters. Recall is that of the ten nearest, against comparing all. All hnsw "
    "have M 16, ef_construction 200, ef 64.",
)


def run(request: Request, progress: ProgressFn) -> Report:
    """Measure.

    Raises:
        UserError: a part that is not known here, or a list of words that cannot be fetched.
        ConfragError: a process failed.
    """
    parts = _selected(request.words)
    repeats = request.config().bench.repeats
    taken = Measurements()
    jobs: list[tuple[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="confrag-bench-") as folder:
        if WORDS in parts:
            listed = sorted({*words(progress), ADDED}, key=lambda word: (word.lower(), word))
            file = Path(folder) / "words.txt"
            file.write_text("\n".join(listed), "utf-8")
            asked = {"a": "a", ADDED: ADDED, listed[-1]: "the last word"}
            taken.add("list", "words", "words", len(listed))
            jobs += [
                (WORDS, {"case": case, "file": str(file), "asked": list(asked), "times": times})
                for case, times in LOOK_UPS.items()
            ]
        jobs += [
            (str(size), {"case": case, "size": size, "times": _times(case, size)})
            for size in SIZES
            if str(size) in parts
            for case in VECTORS
        ]
        total = len(jobs) * repeats
        for number in range(total):
            part, job = jobs[number % len(jobs)]
            progress("processes", number, total)
            # What takes LazyLLM half a minute is not repeated.
            if job["case"] == "default" and number >= len(jobs):
                continue
            if part == WORDS:
                _words(job, asked, taken)
            else:
                _vectors(job, taken)
        progress("processes", total, total)
    rows = taken.rows()
    return Report(
        bench="index",
        rows=tuple(rows),
        ratios=ratios(rows),
        machine=machine(load=True),
        versions=versions(_PACKAGES),
        charted=tuple(row.measure for row in rows if row.unit == "ms" and row.case == "default"),
        notes=NOTES,
    )


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """The relations between the figures of one run, by name; see docs/benchmarks.md."""
    value = {(row.case, row.measure): row.value for row in rows}
    found: dict[str, float] = {}
    last, vectors = "look-up, the last word", "retrieval, 10000 vectors"
    if ("trie", last) in value:
        found["linear_over_trie_last_word"] = value["linear", last] / value["trie", last]
    if ("hnsw", vectors) in value:
        found["default_over_hnsw_10000"] = value["default", vectors] / value["hnsw", vectors]
        search = "search, 10000 vectors"
        found["hnsw_over_raw_hnswlib_10000"] = value["hnsw", search] / value["raw_hnswlib", search]
        for case in ("hnsw", "milvus_hnsw"):
            found[f"{case}_recall_at_10"] = value[case, "recall@10, 10000 vectors"]
    return found


def _selected(asked: Sequence[str]) -> list[str]:
    parts = [WORDS, *map(str, SIZES)]
    for word in asked:
        if word not in parts:
            hint = f". Did you mean '{near}'?" if (near := nearest(word, parts)) else ""
            raise UserError(f"bench index knows no part '{word}'; known: {', '.join(parts)}{hint}")
    return [part for part in parts if part in asked or not asked]


def _times(case: str, size: int) -> int:
    fewest, most = _QUESTIONS
    return max(fewest, min(most, VECTORS[case] // size))


def _words(job: Mapping[str, Any], asked: Mapping[str, str], taken: Measurements) -> None:
    case = job["case"]
    result = call("confrag.bench.index_child:look_ups", job, f"bench index: words: {case}")
    for word, label in asked.items():
        if case != "default" and result["found"][word] != [word]:
            raise UserError(f"bench index: {case} finds {result['found'][word]} for '{word}'")
        taken.add(case, f"retrieval, {label}", "ms", result["retrieval_ms"][word])
        if word in result["look_up_ms"]:
            taken.add(case, f"look-up, {label}", "ms", result["look_up_ms"][word])
    if case != "default":
        taken.add(case, "building, words", "s", result["build_s"])


def _vectors(job: Mapping[str, Any], taken: Measurements) -> None:
    case, size = job["case"], job["size"]
    result = call("confrag.bench.index_child:nearest", job, f"bench index: {size:,} vectors: {case}")
    for measure in ("retrieval", "search"):
        if (milliseconds := result[f"{measure}_ms"]) is not None:
            taken.add(case, f"{measure}, {size} vectors", "ms", milliseconds)
    taken.add(case, f"recall@10, {size} vectors", "", result["recall"])
    taken.add(case, f"building, {size} vectors", "s", result["build_s"])
