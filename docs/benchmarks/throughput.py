"""Embedding throughput of confrag against a bare ONNX session, on the texts of a BEIR-layout collection.

    python docs/benchmarks/throughput.py DATASET [--work DIR] [--rounds N]

DATASET holds corpus.jsonl. Each document is written out as one text file. The engine (all of it: reading, cutting,
embedding, writing to Milvus Lite, building the index) is compared with a bare ONNX session on the very same texts, in
the same run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from quality import engine, write_corpus


def main() -> None:
    """Run everything and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, help="keep files and stores here instead of a temporary folder")
    parser.add_argument("--rounds", type=int, default=2, help="the best one counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        write_corpus(arguments.dataset, work / "files")
        throughput(work, arguments.rounds)


def throughput(work: Path, rounds: int) -> None:
    """Ingest through the engine against the bare session, in turn."""
    print("| texts | | seconds | engine / this |\n|---|---|---|---|")
    whole = ["node_groups.MediumChunk.transform.chunk_size=1024", "node_groups.MediumChunk.transform.chunk_overlap=0"]
    for name, overrides in (("256-token chunks", []), ("one chunk for each document", whole)):
        engine_s, bare = [], {}
        for _ in range(rounds):
            # An index that finds everything, to get at the texts that were embedded.
            with engine(
                work, ["store_conf=milvus_flat", "recall=dense", "embedding_cache.max_mb=0", *overrides]
            ) as app:
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
