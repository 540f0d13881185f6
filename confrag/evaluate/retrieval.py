"""How good rankings of documents are, by ir-measures (which computes with trec_eval)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confrag.schema.evaluation import RETRIEVAL_METRICS

__all__ = ["retrieval_metrics"]


def retrieval_metrics(
    names: Sequence[str], judged: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """The metrics of each query.

    Args:
        names: ``ndcg@10`` and the like.
        judged: query id -> document id -> grade; from 1 on a document is relevant.
        rankings: query id -> document ids, best first, each once. A query without one has found nothing.

    Returns:
        Query id -> metric -> value, of every judged query.
    """
    import ir_measures

    measures = {_measure(name): name for name in names}
    # trec_eval sorts by score, and equal scores by name: the order is what counts here.
    run = {
        query: {document: 1.0 / rank for rank, document in enumerate(rankings.get(query, ()), start=1)}
        for query in judged
    }
    found: dict[str, dict[str, float]] = {query: dict.fromkeys(names, 0.0) for query in judged}
    qrels = {query: dict(grades) for query, grades in judged.items()}
    for value in ir_measures.iter_calc(list(measures), qrels, run):
        found[value.query_id][measures[value.measure]] = float(value.value)
    return found


def _measure(name: str) -> Any:
    import ir_measures

    bare, _, cutoff = name.partition("@")
    return ir_measures.parse_measure(f"{RETRIEVAL_METRICS[bare]}@{cutoff}")
