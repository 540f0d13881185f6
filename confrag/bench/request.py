"""What a bench is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from confrag.config import Config, compose, validate
from confrag.plan import Plan, compile_plan

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """A bench on the command line.

    Attributes:
        words: what is no override: which of its cases the bench should measure; empty: all.
        overrides: in Hydra's syntax; the configuration that the bench varies.
        question: what is asked, where something is.
        config_dir: a folder of the user's own options.
    """

    words: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    config_dir: str | None = None
    question: str = "What is it about?"

    def config(self, *more: str) -> Config:
        """The configuration, with more overrides.

        Raises:
            UserError: it does not compose; ConfigError: it is not valid.
        """
        return validate(compose([*self.overrides, *more], self.config_dir))

    def plan(self, *more: str) -> Plan:
        """The configuration, with more overrides, compiled. Raises what `config` does."""
        return compile_plan(self.config(*more), "bench")

    def chooses(self, key: str) -> bool:
        """Whether an override sets this key, this group, or something below it."""
        names = [override.lstrip("+~").partition("=")[0] for override in self.overrides]
        return any(name == key or name.startswith((f"{key}.", f"{key}@")) for name in names)
