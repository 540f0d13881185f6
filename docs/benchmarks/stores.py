"""Writing to and searching each store through LazyLLM's Document and Retriever, with vectors that cost nothing.

    python docs/benchmarks/stores.py [NODES]

Vectors are of 384 components in 200 clusters, the same for every store. `recall@10` is measured against a comparison
with every vector; `index` is the time until the store answers at full speed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from confrag.build import prepare

prepare()

from lazyllm.tools.rag import DocNode, Document, Retriever  # noqa: E402

from confrag.build.indices.exact import ExactIndex  # noqa: E402
from confrag.build.private import store as doc_store  # noqa: E402
from confrag.build.private.stored_nodes import StoredNodes  # noqa: E402
from confrag.registry import builder  # noqa: E402

DIMENSIONS, QUERIES, BATCH = 384, 100, 4096

STORES: dict[str, tuple[str, dict[str, Any]]] = {
    "map, in memory": ("map", {}),
    "map, SQLite file": ("map", {"uri": "{}/map.db"}),
    "Chroma": ("chroma", {}),
    **{
        f"Milvus Lite {index}": ("milvus", {"index_kwargs": {"index_type": index, "metric_type": "COSINE"}})
        for index in ("FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8")
    },
}


def main() -> None:
    """Print Markdown."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    random = np.random.default_rng(0)
    centres = random.normal(size=(200, DIMENSIONS))
    vectors = unit(centres[random.integers(0, 200, count)] + 0.8 * random.normal(size=(count, DIMENSIONS)))
    queries = unit(vectors[random.integers(0, count, QUERIES)] + 0.02 * random.normal(size=(QUERIES, DIMENSIONS)))
    nearest = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    print(f"{count:,} nodes of {DIMENSIONS} components\n")
    print("| store | nodes written/s | index, s | p50, ms | recall@10 |\n|---|---|---|---|---|")
    for name in STORES:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {name} | {measure(name, Path(folder), vectors, queries, nearest)} |", flush=True)


def unit(vectors: Any) -> Any:
    """Rows of length one, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def measure(name: str, folder: Path, vectors: Any, queries: Any, nearest: Any) -> str:
    """One store: the cells of its row."""
    kind, arguments = STORES[name]
    placed = {key: value.format(folder) if isinstance(value, str) else value for key, value in arguments.items()}
    conf = builder("stores", kind)(folder, **placed)
    document = Document(embed={"embed": lambda text: queries[int(text)].tolist()}, store_conf=conf)
    document.create_node_group("chunk", transform=lambda text: [text])
    doc_store.activate(document, "chunk")
    if kind == "map":
        nodes = StoredNodes(document)
        doc_store.register_index(document, "default", ExactIndex(nodes, doc_store.embeds(document)))
    begun = time.perf_counter()
    for start in range(0, len(vectors), BATCH):
        doc_store.write_nodes(document, [node(n, vectors[n]) for n in range(start, min(start + BATCH, len(vectors)))])
    written = time.perf_counter()
    doc_store.finish(document)
    indexed = time.perf_counter()
    retriever = Retriever(document, "chunk", similarity="cosine", topk=10, embed_keys=["embed"])
    retriever("0")
    times, found = [], 0
    for number in range(QUERIES):
        asked = time.perf_counter()
        hits = retriever(str(number))
        times.append(time.perf_counter() - asked)
        found += len({hit.uid for hit in hits} & {str(n) for n in nearest[number]})
    doc_store.close(document)
    return " | ".join(
        [
            f"{len(vectors) / (written - begun):,.0f}",
            f"{indexed - written:.1f}",
            f"{statistics.median(times) * 1000:.1f}",
            f"{found / (10 * QUERIES):.3f}",
        ]
    )


def node(number: int, vector: Any) -> DocNode:
    """A finished node, as the engine's ingest makes them."""
    shared = {"docid": f"d{number // 100}", "kb_id": "__default__"}
    return DocNode(
        uid=str(number),
        content=f"text {number}",
        group="chunk",
        metadata={"lazyllm_store_num": number},
        global_metadata=shared,
        embedding={"embed": vector},
    )


if __name__ == "__main__":
    main()
