"""What a report is made of: jobs, and what each of them answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Job", "Results", "Sweep"]


@dataclass(frozen=True)
class Sweep:
    """The folder of a multirun, or of a single evaluation.

    Attributes:
        folder: where it lies.
        command: what was typed, word by word; empty where that is not known.
        objective: names of the metrics that the sweep was after.
        baseline: the job to compare with, as the user named it.
    """

    folder: Path
    command: tuple[str, ...] = ()
    objective: tuple[str, ...] = ()
    baseline: str | None = None


@dataclass(frozen=True)
class Job:
    """One evaluated configuration.

    Attributes:
        name: unique in its report, short, made of what distinguishes it.
        folder: what it was read from.
        sweep: the sweep that it belongs to.
        status: ``done``, ``failed``, or ``unfinished`` (it has no ``eval.json`` yet).
        document: its ``eval.json``.
        rows: query id -> its line of ``queries.jsonl``.
    """

    name: str
    folder: Path
    sweep: Sweep
    status: str
    document: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the job set beyond the packaged configuration, without Hydra's prefixes."""
        return tuple(str(override).lstrip("+") for override in self.document.get("overrides", ()))

    @property
    def assigned(self) -> dict[str, str]:
        """Key -> value of each override; a deleted key (``~key``) has the value ``~``."""
        pairs = (o.partition("=") if "=" in o else (o.lstrip("~"), "=", "~") for o in self.overrides)
        return {key: value for key, _, value in pairs}


@dataclass(frozen=True)
class Results:
    """Everything that was read.

    Attributes:
        jobs: in the order of the folders and of their numbers; only jobs that are done have rows.
        sweeps: the folders.
        dataset: what all jobs were evaluated on, as in ``eval.json``.
    """

    jobs: tuple[Job, ...]
    sweeps: tuple[Sweep, ...]
    dataset: Mapping[str, Any]

    @property
    def done(self) -> tuple[Job, ...]:
        """The jobs that have figures."""
        return tuple(job for job in self.jobs if job.status == "done")
