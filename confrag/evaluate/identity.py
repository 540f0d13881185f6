"""What makes two evaluations the same, so that one of them may go on where the other was interrupted."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace

from confrag.evaluate.dataset import Dataset
from confrag.plan.compile import model_plan
from confrag.plan.model import Plan, canonical
from confrag.schema.root import Config

__all__ = ["identity"]


def identity(config: Config, plan: Plan, dataset: Dataset, *, answering: bool) -> str:
    """A digest of everything that rows depend on, 16 hexadecimal digits: configuration, dataset and seed.

    Where things lie is no part of it, nor are metrics and prices, which are computed from the rows.
    """
    judge = config.eval.judge if answering else None
    of_dataset = replace(plan.corpus, paths=(dataset.hash,))
    pipeline = replace(
        plan,
        name="",
        collection="",
        state_dir="",
        embedding_cache_mb=0,
        lock_timeout_s=0.0,
        corpus=of_dataset,
        cache=replace(plan.cache, fingerprint="") if plan.cache else None,
    )
    parts = [
        asdict(pipeline),
        [dataset.hash, config.dataset.queries, config.eval.seed if config.dataset.queries else 0],
        [answering, config.eval.depth],
        [asdict(model_plan(config, judge)), config.prompts.judge.model_dump()]
        if judge and config.prompts.judge
        else None,
    ]
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]
