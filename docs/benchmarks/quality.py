"""Retrieval quality of confrag on a BEIR-layout collection.

    python docs/benchmarks/quality.py DATASET [CASE ...] [--table english|chinese] [--work DIR] [--halves]

DATASET holds corpus.jsonl, queries.jsonl and qrels/test.tsv. Each document is written out as one text file, as a user
would have it; the engine reads, cuts, embeds and stores these. Quality is document-level: the rank of a document is
that of its first chunk. A CASE is a name of the table, or Hydra overrides in one argument, parted by spaces.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import tempfile
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import confrag

DEPTH = 100
"""Nodes that are retrieved by each route, so that ten documents come out of their chunks."""
CHUNK, LEXICAL, ROUTES = (
    f"{key}.topk={DEPTH}" for key in ("retrievers.chunk", "retrievers.lexical", "recall.steps.routes")
)
BOTH = ["recall=hybrid", CHUNK, LEXICAL, ROUTES]
RERANK = ["rerank=ms_marco", f"recall.steps.rerank.topk={DEPTH}"]
MULTI = ["recall=multi_route", CHUNK, f"retrievers.sentence.topk={DEPTH}"]
CHINESE = ["recall=hybrid_chinese", CHUNK, LEXICAL, ROUTES]
E5 = ["embed=e5_multilingual"]


def _weighted(rule: str, **weights: float) -> list[str]:
    return [f"recall.steps.routes.merge={rule}", *(f"+retrievers.{name}.weight={w}" for name, w in weights.items())]


TABLES: dict[str, dict[str, list[str]]] = {
    "english": {
        "BM25": ["recall=lexical", LEXICAL],
        "bge-small-en": ["recall=dense", CHUNK],
        "both, rrf": [*BOTH, *_weighted("rrf")],
        "both, weighted": [*BOTH, *_weighted("weighted")],
        "20 of both by rrf, reranked": ["recall=hybrid", CHUNK, LEXICAL, "recall.steps.routes.topk=20", *RERANK],
    },
    "chinese": {
        "BM25": [*E5, "recall=lexical", LEXICAL, "retrievers.lexical.similarity=bm25_chinese"],
        "e5-small-multilingual": [*E5, "recall=dense", CHUNK],
        **{
            f"both, {rule}, BM25 x {weight:g}": [*E5, *CHINESE, *_weighted(rule, lexical=weight)]
            for rule in ("rrf", "weighted")
            for weight in (1.0, 1.5, 2.0, 3.0, 5.0)
        },
    },
}


def main() -> None:
    """Run everything and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("cases", nargs="*", help="left out: the whole table")
    parser.add_argument("--table", choices=[*TABLES], default="english")
    parser.add_argument("--work", type=Path, help="keep files and stores here instead of a temporary folder")
    parser.add_argument("--halves", action="store_true", help="each half of the queries by itself, too")
    arguments = parser.parse_args()
    table = TABLES[arguments.table]
    cases = {case: table.get(case) or case.split() for case in arguments.cases} or table
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        files = write_corpus(arguments.dataset, work / "files")
        queries = read_jsonl(arguments.dataset / "queries.jsonl")
        qrels = read_qrels(arguments.dataset / "qrels" / "test.tsv")
        machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
        print(f"{len(files)} documents, {len(queries)} queries; {machine}\n")
        quality(work, cases, queries, qrels, halves=arguments.halves)


def write_corpus(dataset: Path, folder: Path) -> list[Path]:
    """One text file for each document: its title, an empty line, its text."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for document in read_jsonl(dataset / "corpus.jsonl"):
        path = folder / f"{document['_id']}.txt"
        text = f"{document.get('title', '')}\n\n{document['text']}\n".lstrip()
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
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
    return confrag.load("milvus_hnsw", overrides=["llm=extractive", *places, *overrides])


def quality(
    work: Path,
    cases: dict[str, list[str]],
    queries: Sequence[dict[str, Any]],
    qrels: dict[str, dict[str, int]],
    *,
    halves: bool,
) -> None:
    """Document-level quality of each case."""
    import ir_measures
    from ir_measures import RR, R, nDCG

    measures = [nDCG @ 10, RR @ 10, R @ 10]
    parts = {"all": set(qrels)}
    if halves:
        parts |= {f"half {half}": {q for q in qrels if zlib.crc32(q.encode()) % 2 == half} for half in (0, 1)}
    shown = [(part, measure) for part in parts for measure in (measures if part == "all" else measures[:1])]
    heads = ["recall", *(f"{measure}, {part}" if halves else str(measure) for part, measure in shown)]
    print(f"| {' | '.join([*heads, 'retrieval p50, ms'])} |\n{'|---' * (len(heads) + 1)}|")
    for name, overrides in cases.items():
        run: dict[str, dict[str, float]] = {}
        times = []
        with engine(work, overrides) as app:
            app.retrieve("warm up")
            for query in queries:
                if not query["text"].strip():
                    run[query["_id"]] = {}  # CMRC2018 has two without a text; they count as not found
                    continue
                begun = time.perf_counter()
                hits = app.retrieve(query["text"])
                times.append(time.perf_counter() - begun)
                ranked = list(dict.fromkeys(Path(hit.file).stem for hit in hits))
                run[query["_id"]] = {document: 1.0 / rank for rank, document in enumerate(ranked, start=1)}
        values = []
        for part, measure in shown:
            judged = {query: qrels[query] for query in parts[part]}
            found = ir_measures.calc_aggregate([measure], judged, {query: run[query] for query in judged})
            values.append(f"{found[measure]:.4f}")
        print(f"| {' | '.join([name, *values, f'{sorted(times)[len(times) // 2] * 1000:.1f}'])} |", flush=True)


if __name__ == "__main__":
    main()
