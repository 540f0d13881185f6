"""What runs in the processes of the bench `startup`: one start each, of the engine or of LazyLLM by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confrag.runtime.app import App

__all__ = ["engine_process", "engine_start", "plain_start"]


def engine_start(job: Mapping[str, Any]) -> dict[str, Any]:
    """Start the engine and ask it, with everything imported before.

    Args:
        job: ``overrides``, ``config_dir``, ``modules`` (to import first), ``questions``.

    Returns:
        ``start_s`` (to the answer to the first question), ``retrieval_ms`` (of each other question), ``embedded``
        (texts of the corpus), ``texts`` (that were found first), and ``modules`` (what is imported by now).
    """
    app = _load(job)
    _import(job["modules"])
    begun = time.perf_counter()
    app.start()
    result = _ask(lambda question: [hit.text for hit in app.retrieve(question)], job["questions"], begun)
    result["embedded"] = app.corpus.embedded
    app.close()
    return result


def plain_start(job: Mapping[str, Any]) -> dict[str, Any]:
    """The same of LazyLLM by itself.

    Args:
        job: as for `engine_start`, whose embedding model is used, and ``folder`` (of the documents), ``store_conf``,
            ``chunk_size``, ``chunk_overlap``, ``topk``.

    Returns:
        The same, and ``held``: rows of text and vectors in a store that lives in memory, else None.
    """
    (model,) = [model for model in _load(job).compiled.models if model.role == "embed"]
    from confrag.build.plain import CountedEmbedding, PlainRetriever
    from confrag.registry import builder

    build = builder("models", model.kind)
    _import(job["modules"])
    begun = time.perf_counter()
    embedder = build(role=model.role, **model.params.thaw())
    embed = CountedEmbedding(embedder)
    sizes = {key: job[key] for key in ("chunk_size", "chunk_overlap", "topk")}
    retriever = PlainRetriever(Path(job["folder"]), embed, job["store_conf"], **sizes)
    result = _ask(lambda question: [node.text for node in retriever(question)], job["questions"], begun)
    result["embedded"] = embed.texts
    result["held"] = None if job["store_conf"].get("kwargs") else retriever.held()
    embedder.close()
    return result


def engine_process(job: Mapping[str, Any]) -> dict[str, Any]:
    """Start the engine as a program does.

    Args:
        job: ``overrides``, ``config_dir``, ``questions``.

    Returns:
        ``ready``: the time (as `time.time` gives it) of the answer to the first question. ``imports_s``: how long the
        imports took, composing and validating the configuration included.
    """
    begun = time.perf_counter()
    app = _load(job)
    imports_s = time.perf_counter() - begun
    app.start()
    app.retrieve(job["questions"][0])
    ready = time.time()
    app.close()
    return {"ready": ready, "imports_s": imports_s}


def _load(job: Mapping[str, Any]) -> App:
    from confrag.build import prepare
    from confrag.config import load
    from confrag.plan import compile_plan

    composed, config = load(None, job["overrides"], job["config_dir"])
    prepare()
    from confrag.runtime.app import App

    return App(compile_plan(config, composed.name))


def _import(modules: Sequence[str]) -> None:
    for name in modules:
        # Some names stand for no module that could be found again.
        with suppress(Exception):
            import_module(name)


def _ask(retrieve: Callable[[str], list[str]], questions: Sequence[str], begun: float) -> dict[str, Any]:
    first, *others = questions
    texts = retrieve(first)
    start_s = time.perf_counter() - begun
    retrieval_ms = []
    for question in others:
        asked = time.perf_counter()
        retrieve(question)
        retrieval_ms.append((time.perf_counter() - asked) * 1000)
    return {"start_s": start_s, "retrieval_ms": retrieval_ms, "texts": texts, "modules": list(sys.modules)}
