"""From YAML to a validated configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from confrag.config.compose import Composed, compose
from confrag.config.validate import validate
from confrag.schema.root import Config

__all__ = ["Composed", "Config", "compose", "load", "validate"]


def load(
    name: str | None, overrides: Sequence[str] = (), config_dir: str | Path | None = None
) -> tuple[Composed, Config]:
    """Compose and validate a preset.

    Raises:
        UserError: it does not compose; ConfigError among them, with everything that is wrong with it.
    """
    composed = compose([*([f"conf={name}"] if name else []), *overrides], config_dir)
    return composed, validate(composed)
