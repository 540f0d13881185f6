"""The figures of an evaluation, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

__all__ = ["show_evaluation"]

_STAGES = ("rewrite", "retrieve", "rerank", "generate", "first_token", "total")


def show_evaluation(document: Mapping[str, Any], out: TextIO) -> None:
    """A line on the dataset, then tables of what was measured.

    Args:
        document: what ``eval.json`` holds.
        out: where to.
    """
    console = Console(file=out, highlight=False, width=None if out.isatty() else 120)
    dataset = document["dataset"]
    split = f" ({dataset['split']})" if dataset["split"] else ""
    console.print(
        f"{document['conf']} on {dataset['name']}{split}: {dataset['queries']:,} queries, "
        f"{dataset['documents']:,} documents",
        markup=False,
    )
    metrics = Table("metric", "mean")
    metrics.columns[1].justify = "right"
    for name, value in document["metrics"].items():
        metrics.add_row(name, f"{value:.4f}")
    console.print(metrics)
    latency = Table("ms a query", "mean", "p50", "p95", "p99")
    for column in latency.columns[1:]:
        column.justify = "right"
    for stage in filter(document["latency_ms"].get, _STAGES):
        figures = document["latency_ms"][stage]
        latency.add_row(stage, *(f"{figures[name]:,.1f}" for name in ("mean", "p50", "p95", "p99")))
    if latency.row_count:
        console.print(latency)
    for line in _others(document):
        console.print(line, markup=False)


def _others(document: Mapping[str, Any]) -> list[str]:
    tokens, cost, cache = document["tokens"], document["cost"], document["cache"]
    lines = []
    if document["failed_queries"]:
        lines.append(f"failed queries: {document['failed_queries']:,}; they count as 0")
    if any(tokens.values()):
        price = f"; cost: {cost['amount']:.6g} {cost['currency']}" if cost else ""
        lines.append(f"tokens: {tokens['prompt']:,} in prompts, {tokens['completion']:,} written{price}")
    if cache:
        lines.append(f"answered from the cache: {cache['hit_rate']:.1%}")
    if judge := document["judge"]:
        agreed = judge["agreement"]
        lines.append(f"judge {judge['model']}: {judge['graded']:,} graded" + _agreed(agreed) + _not_graded(judge))
    return lines


def _agreed(agreement: Mapping[str, Any] | None) -> str:
    if agreement is None:
        return ""
    kappa = "" if agreement["kappa"] is None else f" (kappa {agreement['kappa']:.2f})"
    return f"; agrees with exact match and F1 on {agreement['accuracy']:.1%}{kappa}"


def _not_graded(judge: Mapping[str, Any]) -> str:
    parts = [f"{judge[kind]:,} {kind}" for kind in ("unusable", "failed") if judge[kind]]
    return f"; {', '.join(parts)}" if parts else ""
