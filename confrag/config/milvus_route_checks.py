"""What is wrong with a recall step of the kind `milvus`, told without opening the collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from confrag.config.raw import Raw
from confrag.config.recall_checks import steps
from confrag.config.store_checks import server
from confrag.config.vectors import sort_of_vectors
from confrag.errors import Problem

__all__ = ["milvus_routes"]


def milvus_routes(raw: Raw) -> Iterator[Problem]:
    """Servers that can be named, credentials that are set, a metric that the model's vectors have."""
    for path, step in steps("recall", raw.get("recall")):
        if step.get("kind") != "milvus":
            continue
        yield from server(path, step)
        models = raw.get("models")
        model = models.get(str(step.get("model", "embed"))) if isinstance(models, Mapping) else None
        metric = step.get("metric_type")
        if isinstance(model, Mapping) and sort_of_vectors(model) == "sparse" and metric not in (None, "IP", "ip"):
            yield Problem(f"{path}.metric_type", "sparse vectors are compared by inner product (IP) only", metric)
