"""Retrieval quality and embedding throughput of confrag on a BEIR-layout collection.

    python docs/benchmarks/cranfield.py DATASET [--work DIR] [--only quality|throughput] [--rounds N]

DATASET holds corpus.jsonl, queries.jsonl and qrels/test.tsv. Each document is written out as one text file, as a user
would have it; the engine reads, cuts, embeds and stores these. Quality is document-level nDCG@10: the rank of a
document is that of its first chunk. Throughput compares the engine (all of it: reading, cutting, embedding, writing
to Milvus Lite, building the index) with a bare ONNX session on the very same texts, in the same run.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import confrag

DEPTH = 100
"""Nodes that are retrieved by each route, so that ten documents come out of their chunks."""

RECALLS = {
    "BM25": ["recall=lexical", f"retrievers.lexical.topk={DEPTH}"],
    "bge-small-en": ["recall=dense", f"retrievers.chunk.topk={DEPTH}"],
    "both, merged by rrf": [
        "recall=hybrid",
        f"retrievers.chunk.topk={DEPTH}",
        f"retrievers.lexical.topk={DEPTH}",
        f"recall.steps.routes.topk={DEPTH}",
    ],
}


def main() -> None:
    """Run everything and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, help="keep files and stores here instead of a temporary folder")
    parser.add_argument("--only", choices=["quality", "throughput"], help="one of the two parts")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of the throughput; the best one counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        files = write_corpus(arguments.dataset, work / "files")
        queries = read_jsonl(arguments.dataset / "queries.jsonl")
        qrels = read_qrels(arguments.dataset / "qrels" / "test.tsv")
        machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
        print(f"{len(files)} documents, {len(queries)} queries; {machine}\n")
        if arguments.only != "throughput":
            quality(work, queries, qrels)
        if arguments.only != "quality":
            throughput(work, arguments.rounds)


def write_corpus(dataset: Path, folder: Path) -> list[Path]:
    """One text file for each document: its title, an empty line, its text."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for document in read_jsonl(dataset / "corpus.jsonl"):
        path = folder / f"{document['_id']}.txt"
        path.write_text(f"{document.get('title', '')}\n\n{document['text']}\n".lstrip(), "utf-8")
        written.append(path)
    return written


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query id -> document id -> grade."""
    table: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            table.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return table


def engine(work: Path, overrides: Iterable[str]) -> confrag.App:
    """An engine over the files with Milvus Lite."""
    places = [f"corpus.path='{work / 'files'}'", f"state_dir='{work / 'state'}'"]
    common = ["llm=extractive", "embedding_cache.max_mb=0", *places]
    return confrag.load("milvus_hnsw", overrides=[*common, *overrides])


def quality(work: Path, queries: list[dict[str, Any]], qrels: dict[str, dict[str, int]]) -> None:
    """Document-level nDCG@10 of each recall."""
    import ir_measures
    from ir_measures import nDCG

    print("| recall | nDCG@10 | retrieval p50, ms |\n|---|---|---|")
    for name, overrides in RECALLS.items():
        run: dict[str, dict[str, float]] = {}
        times = []
        with engine(work, overrides) as app:
            app.retrieve("warm up")
            for query in queries:
                begun = time.perf_counter()
                hits = app.retrieve(query["text"])
                times.append(time.perf_counter() - begun)
                ranked = list(dict.fromkeys(Path(hit.file).stem for hit in hits))
                run[query["_id"]] = {document: 1.0 / rank for rank, document in enumerate(ranked, start=1)}
        value = ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10]
        print(f"| {name} | {value:.4f} | {sorted(times)[len(times) // 2] * 1000:.1f} |")
    print()


def throughput(work: Path, rounds: int) -> None:
    """Ingest through the engine against the bare session, in turn."""
    print("| texts | | seconds | engine / this |\n|---|---|---|---|")
    whole = ["node_groups.MediumChunk.transform.chunk_size=1024", "node_groups.MediumChunk.transform.chunk_overlap=0"]
    for name, overrides in (("256-token chunks", []), ("one chunk for each document", whole)):
        engine_s, bare = [], {}
        for _ in range(rounds):
            # An index that finds everything, to get at the texts that were embedded.
            with engine(work, ["store_conf=milvus_flat", "recall=dense", *overrides]) as app:
                engine_s.append(app.timings_s["ingest"])
                texts = sorted({hit.text for hit in app.retrieve("flow", topk=10_000)})
                count = app.corpus.embedded
            assert len(texts) == count, (len(texts), count)
            for arrangement, seconds in bare_session(texts).items():
                bare[arrangement] = min(seconds, bare.get(arrangement, seconds))
        best = min(engine_s)
        print(f"| {count} ({name}) | engine: read, cut, embed, write, index | {best:.1f} | 1 |")
        for arrangement, seconds in sorted(bare.items(), key=lambda item: item[1]):
            print(f"| | bare ONNX session, {arrangement} | {seconds:.1f} | {best / seconds:.2f} |", flush=True)


def bare_session(texts: list[str]) -> dict[str, float]:
    """Seconds of arrangements of the plain ONNX session over the texts, tokenising included, loading not."""
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    from confrag.build.models.fetch import ensure

    folder = ensure("bge-small-en")
    cores = os.cpu_count() or 1

    def session(intra: int) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = intra
        options.inter_op_num_threads = 1
        return ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def run(model: Any, tokenizer: Any, batch: list[str]) -> None:
        encoded = tokenizer.encode_batch(batch)
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        model.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})

    def tokenizer(padded: bool) -> Any:
        loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
        loaded.enable_truncation(512)
        loaded.enable_padding() if padded else loaded.no_padding()
        return loaded

    by_length = sorted(texts, key=len)

    def batches() -> None:
        model, tokens = session(cores), tokenizer(padded=True)
        for start in range(0, len(by_length), 32):
            run(model, tokens, by_length[start : start + 32])

    def one_by_one() -> None:
        model, tokens = session(cores), tokenizer(padded=False)
        for text in texts:
            run(model, tokens, [text])

    def side_by_side() -> None:
        model, tokens = session(1), tokenizer(padded=False)
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(lambda text: run(model, tokens, [text]), reversed(by_length)))

    arrangements: dict[str, Callable[[], None]] = {
        "batches of 32 by length": batches,
        "one by one": one_by_one,
        f"one by one, {cores} side by side": side_by_side,
    }
    result = {}
    for name, work in arrangements.items():
        begun = time.perf_counter()
        work()
        result[name] = time.perf_counter() - begun
    return result


if __name__ == "__main__":
    main()
