"""How start and ingest grow with the corpus, on synthetic documents and a cheap deterministic embedder.

    python docs/benchmarks/scale.py [--stores map,chroma_flat,...] [--only start|change|query] [--nodes N]

`start`: the unchanged start (engine and first retrieval, imports not counted) and the peak memory of its process, at
1,000, 10,000 and 100,000 nodes of 384 dimensions, a hundred to a file. `change`: one file changed in 10,000
against the same in 100. `query`: a query at 10,000 nodes through the engine against pymilvus alone
(search and look-up of the text), the query's embedding not counted. Every start is a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

import confrag
from confrag.schema.models import ModelSpec

DIM = 384
WORDS = [hashlib.sha256(str(number).encode()).hexdigest()[:7] for number in range(5000)]
SEARCH = {"metric_type": "COSINE", "params": {"ef": 200}}
STORES = ("map", "chroma", "milvus_hnsw")


class Hashed:
    """Texts as random vectors of unit length, drawn from a digest of the text."""

    dim = DIM

    def passages(self, texts: Sequence[str], progress: Any = None) -> Any:
        return np.stack([self.query(text) for text in texts])

    def query(self, text: str) -> Any:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def close(self) -> None:
        pass


class HashedSpec(ModelSpec):
    """The cheap embedder."""

    kind: Literal["hashed"] = "hashed"
    role: Literal["embed"] = "embed"


def build(role: str, progress: Any, **_: Any) -> Hashed:
    return Hashed()


confrag.register("models", "hashed", HashedSpec, build)


def overrides(work: Path) -> list[str]:
    return [
        f"corpus.path={work / 'files'}",
        f"state_dir={work / 'state'}",
        "llm=extractive",
        "~models.embed",
        "+models.embed={role: embed, kind: hashed}",
        "node_groups.MediumChunk.transform={kind: split, separator: '|'}",
        "embedding_cache.max_mb=0",
    ]


def write_corpus(folder: Path, files: int, nodes: int) -> None:
    """Files of so many nodes of forty words each."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(7)
    for number in range(files):
        picks = draw.integers(0, len(WORDS), (nodes, 40))
        (folder / f"{number:05}.txt").write_text("|".join(" ".join(WORDS[i] for i in row) for row in picks))


def child(store: str, work: Path, mode: str) -> dict[str, Any]:
    """One process: an ingest, or a start and queries."""
    app = confrag.load(store, overrides=overrides(work))
    import_backend(store)
    before = time.perf_counter()
    if mode == "ingest":
        report = app.ingest()
        return {"seconds": time.perf_counter() - before, "nodes": sum(report.nodes.values())}
    with app:
        started = time.perf_counter() - before
        question = " ".join(WORDS[:40])
        app.retrieve(question)
        first = time.perf_counter() - before
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        result = {"start": started, "first": first, "memory": memory, "embedded": app.corpus.embedded}
        if mode == "query":
            result |= compare_queries(app, work)
    return result


def import_backend(store: str) -> None:
    from importlib import import_module

    import_module(f"confrag.build.stores.{store.partition('_')[0]}")


def compare_queries(app: confrag.App, work: Path) -> dict[str, float]:
    """p50 of a query through the engine and by pymilvus on the same open store, interleaved, in milliseconds."""
    import sqlite3

    from confrag.build.private.store import document_store

    store = document_store(app._collection.document)._impl.vector_store  # type: ignore[union-attr]
    (segments,) = (work / "state" / "collections").glob("*/milvus_segments.db")
    database = sqlite3.connect(segments)
    client, topk = store._client, app.compiled.retrievers[0].topk
    (name,) = client.list_collections()
    embedder, ours, raw = Hashed(), [], []
    for number in range(300):
        question = f"{number} " + " ".join(WORDS[number : number + 40])
        vector = embedder.query(question)
        begun = time.perf_counter()
        app.retrieve(question)
        retrieved = time.perf_counter()
        embedder.query(question)
        middle = time.perf_counter()
        embedding = middle - retrieved
        hits = client.search(name, [vector], limit=topk, anns_field="embedding_embed", search_params=SEARCH)
        uids = [hit["uid"] for hit in hits[0]]
        marks = ",".join("?" * len(uids))
        rows = database.execute(f"SELECT uid, content FROM segments WHERE uid IN ({marks})", uids).fetchall()
        end = time.perf_counter()
        assert len(rows) == topk
        if number >= 20:
            ours.append(retrieved - begun - embedding)
            raw.append(end - middle)
    return {"engine_ms": statistics.median(ours) * 1000, "pymilvus_ms": statistics.median(raw) * 1000}


def run(store: str, work: Path, mode: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", store, str(work), mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def bench_start(stores: Sequence[str]) -> None:
    print("| store | nodes | files | ingest, s | unchanged start, s | with the first retrieval, s | peak memory, MB |")
    print("|---|---|---|---|---|---|---|")
    for store in stores:
        for nodes in (1_000, 10_000, 100_000):
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                write_corpus(work / "files", nodes // 100, 100)
                first = run(store, work, "ingest")
                starts = [run(store, work, "start") for _ in range(3)]
                assert first["nodes"] == nodes
                assert not any(start["embedded"] for start in starts)
                cells = [statistics.median(start[key] for start in starts) for key in ("start", "first", "memory")]
                print(
                    f"| {store} | {nodes:,} | {nodes // 100:,} | {first['seconds']:.1f} | {cells[0]:.2f} | "
                    f"{cells[1]:.2f} | {cells[2]:.0f} |",
                    flush=True,
                )


def bench_change(stores: Sequence[str], nodes: int) -> None:
    print("| store | 1 of 100 files changed, s | 1 of 10,000 files changed, s | ratio |")
    print("|---|---|---|---|")
    for store in stores:
        medians = []
        for files in (100, 10_000):
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                write_corpus(work / "files", files, nodes)
                run(store, work, "ingest")
                times = []
                for number in range(5):
                    changed = work / "files" / "00007.txt"
                    changed.write_text(f"{number} {changed.read_text()}")
                    times.append(run(store, work, "ingest")["seconds"])
                medians.append(statistics.median(times))
        print(f"| {store} | {medians[0]:.3f} | {medians[1]:.3f} | {medians[1] / medians[0]:.2f} |", flush=True)


def bench_query() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_corpus(work / "files", 100, 100)
        run("milvus_hnsw", work, "ingest")
        result = run("milvus_hnsw", work, "query")
    ratio = result["engine_ms"] / result["pymilvus_ms"]
    print(f"query p50 at 10,000 nodes: engine {result['engine_ms']:.2f} ms, pymilvus and look-up ", end="")
    print(f"{result['pymilvus_ms']:.2f} ms, ratio {ratio:.2f}")


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        _, _, store, work, mode = sys.argv
        print(json.dumps(child(store, Path(work), mode)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--only", choices=["start", "change", "query"])
    parser.add_argument("--nodes", type=int, default=1, help="nodes of each file, for `change`")
    arguments = parser.parse_args()
    stores = arguments.stores.split(",")
    if arguments.only in (None, "start"):
        bench_start(stores)
    if arguments.only in (None, "change"):
        bench_change(stores, arguments.nodes)
    if arguments.only in (None, "query"):
        bench_query()


if __name__ == "__main__":
    main()
