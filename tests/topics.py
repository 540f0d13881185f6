"""A data set in the layout of BEIR: a document and a query for each topic; what is asked for stands in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

__all__ = ["TOPICS", "write_topics"]

TOPICS = ("crane", "ferry", "harbour", "lantern", "anchor", "market", "kettle", "garden")


def write_topics(folder: Path, topics: Sequence[str] = TOPICS) -> Path:
    """Write it; returns the folder."""
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "text": f"The {topic} has number {n}."} for n, topic in enumerate(topics)]
    queries = [
        {"_id": f"q{n}", "text": f"Which number has the {topic}?", "answers": [f"number {n}"]}
        for n, topic in enumerate(topics)
    ]
    for name, entries in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    rows = "".join(f"q{n}\td{n}\t1\n" for n in range(len(topics)))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder
