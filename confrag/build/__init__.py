"""From a plan to LazyLLM objects."""

from __future__ import annotations

import os

__all__ = ["prepare"]


def prepare(*, verbose: bool = False) -> None:
    """Set up the libraries below; must run before the first import of LazyLLM.

    Args:
        verbose: let LazyLLM say what it does, on standard error.
    """
    from confrag.build.private.imports import import_lazyllm

    if verbose:
        os.environ.setdefault("LAZYLLM_LOG_LEVEL", "INFO")
    # Whoever imports it first decides; Chroma does, too.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import_lazyllm()
