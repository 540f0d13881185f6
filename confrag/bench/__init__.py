"""Benches: the seed tutorial's tables again, on this machine.

A bench is a module with ``run(request, progress) -> Report`` and a line in `BENCHES`. What it times runs in processes
of their own (`confrag.bench.child`).
"""

from __future__ import annotations

__all__ = ["BENCHES"]

BENCHES: dict[str, tuple[str, str]] = {
    "startup": ("confrag.bench.startup", "first, second and third start of each store, beside LazyLLM by itself"),
}
"""Bench -> module (with a function `run`) and a line of help."""
