"""Benches: the seed tutorial's tables again, on this machine.

A bench is a module with ``run(request, progress) -> Report`` and a line in `BENCHES`. What it times runs in processes
of their own (`confrag.bench.child`).
"""

from __future__ import annotations

__all__ = ["BENCHES"]

BENCHES: dict[str, tuple[str, str]] = {
    "startup": ("confrag.bench.startup", "first, second and third start of each store, beside LazyLLM by itself"),
    "parallel": ("confrag.bench.parallel", "routes one after the other and all at once, 2 to 16 of them"),
    "cache": ("confrag.bench.cache", "a question without a cache and with each of them, and a stream of questions"),
    "index": ("confrag.bench.index", "words looked up in a long list, and the nearest of many vectors"),
    "model": ("confrag.bench.model", "a model as it is and in AWQ behind vLLM, and a small one behind llama.cpp"),
    "all": ("confrag.bench.all", "all of them, on one page next to the figures of the tutorial; words choose some"),
}
"""Bench -> module (with a function `run`) and a line of help."""
