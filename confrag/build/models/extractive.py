"""Model kind `extractive`: no model."""

from __future__ import annotations

from dataclasses import dataclass

from confrag.build.progress import ProgressFn, silent

__all__ = ["Extractive", "build"]


@dataclass(frozen=True)
class Extractive:
    """How much is quoted."""

    passages: int
    max_chars: int

    def close(self) -> None:
        """Nothing is held."""


def build(*, role: str, passages: int, max_chars: int, progress: ProgressFn = silent) -> Extractive:
    """The parameters of the quotations; the graph does the rest."""
    return Extractive(passages, max_chars)
