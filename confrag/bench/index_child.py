"""What runs in the processes of the bench `index`: one kind of index and one size each."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from confrag.build import prepare

__all__ = ["look_ups", "nearest"]

DIM = 384
_CLUSTERS = 100
_TOPK = 10
_HNSW = {"M": 16, "ef_construction": 200, "ef": 64, "space": "cosine", "num_threads": None}
_WARM = 3

Vectors = NDArray[np.float32]


def look_ups(job: Mapping[str, Any]) -> dict[str, Any]:
    """Look up words in a list.

    Args:
        job: ``case`` (default, linear or trie), ``file`` (a word a line), ``asked`` (words), ``times`` (of each).

    Returns:
        ``build_s``, and by word ``retrieval_ms``, ``look_up_ms`` (of our indices) and ``found`` (texts).
    """
    prepare()
    from confrag.build.trial import store_conf, trial

    case, times = job["case"], int(job["times"])
    words = Path(job["file"]).read_text("utf-8").splitlines()
    result: dict[str, Any] = {"retrieval_ms": {}, "look_up_ms": {}, "found": {}}
    with tempfile.TemporaryDirectory(prefix="confrag-bench-") as folder:
        plain = case == "default"
        with trial({"type": "map"} if plain else store_conf("map", Path(folder))) as filled:
            filled.write(words, None, plain=plain)
            begun = time.perf_counter()
            index = None if plain else filled.index(case, match="exact", words=False, ignore_case=False)
            result["build_s"] = time.perf_counter() - begun
            ask = filled.ask(None if plain else case, 1, "bm25")
            for word in job["asked"]:
                taken, found = _timed(partial(ask, word), times, 0 if plain else _WARM)
                result["retrieval_ms"][word], result["found"][word] = taken, [text for text, _ in found[-1]]
                if index is not None:
                    result["look_up_ms"][word], _ = _timed(partial(index.scores, word), times, _WARM)
    return result


def nearest(job: Mapping[str, Any]) -> dict[str, Any]:
    """Find the nearest of random vectors in clusters.

    Args:
        job: ``case`` (default, exact, hnsw, raw_hnswlib or milvus_hnsw), ``size``, ``times`` (different questions).

    Returns:
        ``build_s``, ``retrieval_ms``, ``search_ms`` (without looking up the nodes, where that can be told apart) and
        ``recall`` (of the ten nearest).
    """
    prepare()
    size, times = int(job["size"]), int(job["times"])
    vectors, questions = _clusters(size, times + _WARM)
    exact = np.argsort(-(questions @ vectors.T), axis=1)[:, :_TOPK]
    with tempfile.TemporaryDirectory(prefix="confrag-bench-") as folder:
        return _nearest(job["case"], vectors, questions, exact, Path(folder))


def _nearest(case: str, vectors: Vectors, questions: Vectors, exact: NDArray[np.intp], folder: Path) -> dict[str, Any]:
    if case == "raw_hnswlib":
        return _raw(vectors, questions, exact)
    from confrag.build.trial import store_conf, trial

    texts = [str(row) for row in range(len(vectors))]
    asked = {f"question {row}": question for row, question in enumerate(questions)}
    plain = case == "default"
    if plain:
        conf: dict[str, Any] = {"type": "map"}
    elif case == "milvus_hnsw":
        construction = {"M": _HNSW["M"], "efConstruction": _HNSW["ef_construction"]}
        index = {"index_type": "HNSW", "metric_type": "COSINE", "params": construction}
        conf = store_conf("milvus", folder, index_kwargs=[{**index, "search_params": {"ef": _HNSW["ef"]}}])
    else:
        conf = store_conf("map", folder)
    with trial(conf, lambda question: asked[question].tolist()) as filled:
        begun = time.perf_counter()
        filled.write(texts, vectors, plain=plain)
        written = time.perf_counter()
        graph = filled.index("hnsw", **_HNSW) if case == "hnsw" else None
        if case == "exact":
            from confrag.build.indices.exact import ExactIndex
            from confrag.build.private.store import embeds, register_index
            from confrag.build.private.stored_nodes import StoredNodes

            register_index(
                filled.document, "default", ExactIndex(StoredNodes(filled.document), embeds(filled.document))
            )
        ask = filled.ask("hnsw" if case == "hnsw" else None, _TOPK)
        built = time.perf_counter()
        names, again = iter(asked), iter(asked)
        taken, found = _timed(lambda: ask(next(names)), len(asked) - _WARM, _WARM)
        searched = None
        if graph is not None:
            search = lambda: graph.ranked(graph.prepare(next(again)), _TOPK, None)  # noqa: E731
            searched, _ = _timed(search, len(asked) - _WARM, _WARM)
    rows = [{int(text) for text, _ in hits} for hits in found]
    return {
        "build_s": built - (written if case == "hnsw" else begun),
        "retrieval_ms": taken,
        "search_ms": searched,
        "recall": _recall(rows, exact),
    }


def _raw(vectors: Vectors, questions: Vectors, exact: NDArray[np.intp]) -> dict[str, Any]:
    import hnswlib

    begun = time.perf_counter()
    graph = hnswlib.Index(space="cosine", dim=vectors.shape[1])
    graph.init_index(max_elements=len(vectors), M=_HNSW["M"], ef_construction=_HNSW["ef_construction"])
    graph.add_items(vectors)
    built = time.perf_counter() - begun
    graph.set_ef(_HNSW["ef"])
    rows = iter(questions)
    taken, found = _timed(lambda: graph.knn_query(next(rows), k=_TOPK, num_threads=1), len(questions) - _WARM, _WARM)
    return {
        "build_s": built,
        "retrieval_ms": None,
        "search_ms": taken,
        "recall": _recall([set(labels[0].tolist()) for labels, _ in found], exact),
    }


def _timed(call: Callable[[], Any], times: int, warm: int) -> tuple[float, list[Any]]:
    """Median milliseconds of a call, and what it gives each time, the warming up among it."""
    taken, results = [], []
    for _ in range(warm + times):
        begun = time.perf_counter()
        results.append(call())
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken[warm:]), results


def _recall(found: Sequence[set[int]], exact: NDArray[np.intp]) -> float:
    hits = sum(len(rows & set(wanted)) for rows, wanted in zip(found, exact.tolist(), strict=True))
    return hits / exact.size


def _clusters(size: int, questions: int) -> tuple[Vectors, Vectors]:
    """Unit vectors in clusters, and questions from the same ones."""
    random = np.random.default_rng(size)
    centres = random.normal(size=(_CLUSTERS, DIM))

    def draw(count: int) -> Vectors:
        near = centres[random.integers(0, _CLUSTERS, count)] + random.normal(size=(count, DIM))
        unit: Vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
        return unit

    return draw(size), draw(questions)
