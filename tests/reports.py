"""Folders of evaluated jobs, as `confrag eval` leaves them: configurations with known differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DATASET = {
    "name": "harbour", "path": "data/harbour", "split": "test", "documents": 60, "queries": 30,
    "hash": "5f2c9a7be1d04433", "language": "auto",
}  # fmt: skip
MACHINE = {"cpu": "Example CPU", "cores": 2, "memory_gb": 8, "platform": "Linux"}
CHINESE = "港口的灯塔在每天傍晚六点开始发光"
# Recall -> how good it is, and how long a query takes in milliseconds.
QUALITY = {"dense": (0.42, 12.0), "lexical": (0.30, 3.0), "hybrid": (0.58, 21.0)}
STORES = {"map": 1.0, "chroma": 1.4, "milvus_flat": 2.1, "milvus_hnsw": 1.7}


def product(**keys: Sequence[str]) -> list[list[str]]:
    """The overrides of a full design, in Hydra's order."""
    result: list[list[str]] = [[]]
    for key, values in keys.items():
        result = [[*overrides, f"{key}={value}"] for overrides in result for value in values]
    return result


def write_sweep(
    folder: Path,
    jobs: Sequence[Sequence[str]] | None = None,
    *,
    queries: int = 30,
    failed: Sequence[str] = (),
    dataset: Mapping[str, Any] = DATASET,
    sources: int = 4,
    **sweep: Any,
) -> Path:
    """Write a sweep: map and chroma answer alike, hybrid is better than dense, and both better than lexical."""
    jobs = product(conf=["map", "chroma"], recall=["dense", "hybrid"]) if jobs is None else jobs
    for number, overrides in enumerate(jobs):
        write_job(folder / str(number), overrides, queries=queries, dataset=dataset, sources=sources)
    for number, override in enumerate(failed, start=len(jobs)):
        message = "milvus://127.0.0.1:19530: nothing answers; start a server, or use conf=milvus_hnsw"
        _write(folder / str(number) / "eval.json", {
            "format": 1, "conf": "milvus_remote", "overrides": override.split(","), "status": "failed",
            "error": message,
        })  # fmt: skip
    command = ["confrag", "eval", "-m", "conf=map,chroma", "recall=dense,hybrid", "dataset.path=data/harbour"]
    _write(folder / "sweep.json", {"format": 1, "command": command, "objective": ["ndcg@10"], **sweep})
    return folder


def write_job(
    folder: Path, overrides: Sequence[str], *, queries: int = 30, dataset: Mapping[str, Any] = DATASET, sources: int = 4
) -> Path:
    """Write one job that is done."""
    keys = dict(override.split("=", 1) for override in overrides)
    recall, topk = keys.get("recall", "dense"), int(keys.get("retrievers.chunk.topk", 6))
    quality, milliseconds = QUALITY[recall]
    milliseconds *= STORES[keys.get("conf", "map")]
    # The same for every exact store: only what is retrieved with decides.
    luck = np.random.default_rng(sum(map(ord, recall)) + topk + (keys.get("conf") == "milvus_hnsw"))
    hard = np.random.default_rng(7).normal(0, 0.25, queries)
    reached = np.clip(quality + 0.02 * (topk - 6) + hard + luck.normal(0, 0.08, queries), 0, 1).round(4)
    rows = [
        _row(number, float(ndcg), milliseconds, sources, luck, keys.get("conf", "map"))
        for number, ndcg in enumerate(reached)
    ]
    names = list(rows[0]["metrics"])
    latency = {"mean": milliseconds, "p50": milliseconds, "p95": milliseconds * 2.1, "p99": milliseconds * 3}
    _write(folder / "eval.json", {
        "format": 1, "conf": keys.get("conf"), "overrides": list(overrides), "key": "0" * 16, "status": "done",
        "error": None, "dataset": {**dataset, "queries": queries},
        "metrics": {name: float(np.mean([row["metrics"][name] for row in rows])) for name in names},
        "latency_ms": {"total": latency, "retrieve": latency},
        "tokens": {"prompt": 300 * queries, "completion": 40 * queries},
        "cost": {"amount": 0.00002 * queries * topk, "currency": "USD"}, "cache": None,
        "corpus": {"version": "a1", "files": 60, "nodes": {"MediumChunk": 60}, "embedded": 0, "failed": []},
        "timings_s": {"start": 0.4, "ingest": 1.2, "queries": 2.0}, "objective": {"ndcg@10": float(reached.mean())},
        "judge": None,
        "provenance": {
            "confrag": "0.1.0", "python": "3.11.9", "packages": {"lazyllm": "1.4.0", "chromadb": "1.5.0"},
            "models": {"embed": {"kind": "local", "fingerprint": "bge-small-en"}}, "seed": 0, "machine": MACHINE,
            "started": "2026-01-05T10:00:00+00:00", "ended": "2026-01-05T10:00:04+00:00",
        },
    })  # fmt: skip
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "queries.jsonl").write_text(lines, "utf-8")
    return folder


def _row(number: int, ndcg: float, ms: float, sources: int, luck: np.random.Generator, conf: str) -> dict[str, Any]:
    chinese = number % 5 == 4
    gold = {f"d{number * 2}": 2, f"d{number * 2 + 1}": 1}
    found = [f"d{number * 2 + int(step)}" for step in np.argsort(luck.normal(0, 1, sources + 2))]
    right = ndcg >= 0.4
    answer = f"灯塔 {number} 在六点发光[1]。" if chinese else f"Light number {number * 7} shines at six [1]."
    return {
        "id": str(number),
        "query": f"{number} 号{CHINESE}？" if chinese else f"At what time does light {number * 7} begin to shine?",
        "gold": {"documents": gold, "answers": ["六点" if chinese else "six"]},
        "ranking": [[document, round(1 / (rank + 1), 3)] for rank, document in enumerate(found)],
        "metrics": {"ndcg@10": ndcg, "recall@10": float(min(1.0, ndcg + 0.2)), "contains": float(right), "f1": ndcg},
        "answer": answer if right else "I do not know.",
        "sources": [
            {"file": f"docs/{document}.txt", "document": document, "route": "chunk", "score": round(0.9 - rank / 10, 3),
             "rerank_score": None, "text": (f"{CHINESE}。" if chinese else f"Document {document}. ") * 4}
            for rank, document in enumerate(found[:sources])
        ],
        "citations": [1],
        "timings_ms": {"retrieve": ms, "total": ms},
        "tokens": {"prompt": 300, "completion": 40},
        "cached": False, "partial": False, "error": None,
    }  # fmt: skip


def edit_rows(job: Path, change: Any) -> None:
    """Change the lines of a job's queries: `change` gets each row and alters it."""
    path = job / "queries.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), "utf-8")
