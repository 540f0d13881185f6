"""A model that is loaded when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["LazyModel"]


class _Closing(Protocol):
    def close(self) -> None: ...


Model = TypeVar("Model", bound=_Closing)


class LazyModel(Generic[Model]):
    """Gives a model, the same each time. Safe for threads.

    Args:
        load: gives the model; called once, when it is first needed.
    """

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._guard = threading.Lock()
        self._loaded: Model | None = None

    def __call__(self) -> Model:
        """The model, loaded."""
        with self._guard:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def close(self) -> None:
        """Free the model, if it was loaded."""
        with self._guard:
            loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()
