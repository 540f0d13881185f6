"""confrag: declarative retrieval-augmented generation.

    app = confrag.load("milvus_hnsw", overrides=["corpus.path=docs"])
    with app:
        print(app.ask("What is it about?").text)

Importing this package imports neither LazyLLM nor a vector store; that happens when an engine starts.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""Not imported, nor is anything else here: an interrupt meanwhile would show a traceback."""

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from confrag.errors import ConfigError, ConfragError, ServiceError, StoreError, UserError
    from confrag.runtime.app import App
    from confrag.runtime.results import Answer, Hit
    from confrag.schema.base import Spec

__all__ = [
    "Answer",
    "App",
    "ConfigError",
    "ConfragError",
    "Hit",
    "ServiceError",
    "StoreError",
    "UserError",
    "load",
    "register",
]
__version__ = "0.1.0"

_LAZY = {
    "App": "confrag.runtime.app",
    **dict.fromkeys(("Answer", "Hit"), "confrag.runtime.results"),
    **dict.fromkeys(("ConfigError", "ConfragError", "ServiceError", "StoreError", "UserError"), "confrag.errors"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'confrag' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def load(name: str = "quickstart", overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> App:
    """An engine for a preset; `start` it, or use it as a context manager.

    Args:
        name: a preset of ``confrag ls``, or of your own in `config_dir`.
        overrides: in Hydra's syntax: ``["corpus.path=docs", "retrievers.chunk.topk=3"]``.
        config_dir: a folder with your own options, presets in its sub-folder ``conf``.

    Raises:
        ConfigError: everything that is wrong with the configuration.
        UserError: a preset or file that does not exist.
    """
    from confrag.config import load as load_config
    from confrag.plan import compile_plan

    composed, config = load_config(name, overrides, config_dir)
    plan = compile_plan(config, composed.name)
    from confrag.build import prepare

    prepare(verbose=config.verbose)
    from confrag.runtime.app import App

    return App(plan)


def register(family: str, name: str, spec: type[Spec], builder: str | Callable[..., Any], summary: str = "") -> None:
    """Add a kind of your own to a family of the registry; see :func:`confrag.registry.register`."""
    from confrag.registry import register as add

    add(family, name, spec, builder, summary)
