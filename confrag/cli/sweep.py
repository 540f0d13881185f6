"""Sweeps: multiruns of Hydra. Jobs may run in other processes; what they have found is read from their folders."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from confrag.cli.arguments import Arguments
from confrag.cli.launch import hydra_main, shared_overrides
from confrag.config.compose import Composed, SweepSettings, compose_sweep
from confrag.config.evaluation_checks import questions
from confrag.config.overrides import normalize, quote
from confrag.config.sources import group_names, user_config_dir
from confrag.config.validate import validate
from confrag.errors import ConfigError, UserError
from confrag.evaluate.written import write_json
from confrag.schema.evaluation import COSTS

__all__ = ["Sweep", "documents", "exit_code", "launch", "planned"]

SWEEP = "sweep.json"
FORMAT = 1
"""Of ``sweep.json``."""
_OF_ALL = ("dataset", "eval", "objective")
"""Keys of the configuration that concern a sweep as a whole."""


@dataclass(frozen=True)
class Sweep:
    """A sweep that composes, before its first job.

    Attributes:
        folder: in which each job has its own.
        overrides: for Hydra; the folder is fixed by them, for all processes.
        command: what was typed, word by word.
        swept: key -> values that it takes, or the interval or range that they are drawn from.
        objective: names of the metrics that it is after.
        optuna: whether Optuna chooses the jobs.
        shared: the configuration, without what is swept.
    """

    folder: Path
    overrides: tuple[str, ...]
    command: tuple[str, ...]
    swept: Mapping[str, Sequence[str]]
    objective: tuple[str, ...]
    optuna: bool
    shared: Composed

    def sets(self, key: str) -> bool:
        """Whether a key has a value in every job."""
        if key in self.swept:
            return True
        value: Any = self.shared.data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value is not None


def planned(verb: str, arguments: Arguments, overrides: Sequence[str]) -> Sweep:
    """Look a sweep over before anything is written or a model is loaded.

    Raises:
        UserError: what the jobs share does not compose, an option does not exist, a plugin of Hydra is not installed,
            or the folder holds another sweep.
    """
    composed, settings = compose_sweep(shared_overrides(overrides, arguments), arguments.config_dir)
    _check(composed)
    typed = _parsed(overrides, arguments)
    if any(override.key_or_group == "hydra.sweep.subdir" for override in typed):
        raise UserError("hydra.sweep.subdir: leave it out; the folder of a job is named by the job's number")
    if (settings.folder / SWEEP).is_file() and not composed.data.get("resume"):
        raise UserError(
            f"hydra.sweep.dir = '{settings.folder}': a sweep is in it already; take another folder, or go on with it "
            "by resume=true"
        )
    named = composed.data.get("objective") or "ndcg@10"
    objective = (str(named),) if isinstance(named, str) else tuple(map(str, named))
    ours = [f"hydra.sweep.dir={quote(str(settings.folder))}", *_defaults(composed, settings, objective, typed)]
    flags = ["-m", *(["--config-dir", arguments.config_dir] if arguments.config_dir else [])]
    return Sweep(
        folder=settings.folder,
        overrides=(*overrides, *ours),
        command=("confrag", verb, *flags, *overrides),
        swept=_swept([*_parameters(settings), *typed]),
        objective=objective,
        optuna=_by_optuna(settings),
        shared=composed,
    )


def launch(sweep: Sweep, arguments: Arguments, job: Callable[[DictConfig], Any]) -> None:
    """Have Hydra run the jobs, and note the sweep in its folder.

    Args:
        sweep: see `planned`.
        arguments: of the command line.
        job: a function of a module, which other processes can import. It tells of a failure in the folder of the job,
            and returns None (an exception would end the sweep).

    Raises:
        UserError: it does not compose after all. What a launcher raises is passed on.
    """
    for number, _ in _folders(sweep.folder):
        for name in ("eval.json", "run.json"):  # of an interrupted one, which is taken up here
            (number / name).unlink(missing_ok=True)
    about = {"format": FORMAT, "command": list(sweep.command), "sweep": sweep.swept, "objective": list(sweep.objective)}
    about |= {"baseline": None, "started": _now(), "ended": None}
    if sweep.optuna and not sweep.shared.data.get("verbose"):
        _silence_optuna()
    try:
        _write(sweep.folder, about)
        hydra_main(arguments, sweep.overrides, job)
    except ValueError as error:
        # Optuna has no best trial when every job failed; the jobs have said why.
        if "No trials are completed yet" not in str(error):
            raise
    finally:
        _write(sweep.folder, about | {"ended": _now()})


def documents(folder: Path, name: str) -> list[dict[str, Any]]:
    """What the jobs of a sweep have written: the files of this name, in the order of the jobs."""
    return [json.loads((child / name).read_text("utf-8")) for child, _ in _folders(folder) if (child / name).is_file()]


def exit_code(jobs: Sequence[Mapping[str, Any]]) -> int:
    """The code of the first job that failed; 0 where none did."""
    return next((int(job["exit_code"]) for job in jobs if job.get("exit_code")), 0)


def _check(shared: Composed) -> None:
    """Raises ConfigError for what is wrong with how the jobs are judged; of what they do, each tells by itself, since
    much of it makes sense only with what is swept.
    """
    try:
        validate(shared, questions)
    except ConfigError as error:
        wrong = [problem for problem in error.problems if problem.path.partition(".")[0] in _OF_ALL]
        if wrong:
            raise ConfigError(wrong, shared.name) from None


def _folders(folder: Path) -> list[tuple[Path, int]]:
    found = [(child, int(child.name)) for child in folder.glob("*") if child.name.isdecimal() and child.is_dir()]
    return sorted(found, key=lambda pair: pair[1])


def _parsed(overrides: Sequence[str], arguments: Arguments) -> list[Override]:
    groups = group_names(user_config_dir(arguments.config_dir))
    return list(OverridesParser.create().parse_overrides(normalize(overrides, groups)))


def _parameters(settings: SweepSettings) -> Iterator[Override]:
    """What the configuration itself sweeps over."""
    for key, value in (settings.sweeper.get("params") or {}).items():
        yield OverridesParser.create().parse_override(f"{key}={value}")


def _swept(overrides: Sequence[Override]) -> dict[str, list[str]]:
    swept = {}
    for override in overrides:
        if override.is_sweep_override():
            line = str(override.input_line)
            listed = override.is_discrete_sweep() and not override.is_range_sweep()
            values = list(override.sweep_string_iterator()) if listed else [line.partition("=")[2]]
            swept[override.key_or_group] = values
    return swept


def _by_optuna(settings: SweepSettings) -> bool:
    return "hydra_optuna_sweeper" in settings.sweeper["_target_"]


def _defaults(
    composed: Composed, settings: SweepSettings, objective: Sequence[str], typed: Sequence[Override]
) -> list[str]:
    """What a plugin is told where the user has left it as it comes."""
    given = {override.key_or_group for override in typed}
    sweeper, launcher = settings.sweeper, settings.launcher
    wanted: list[tuple[str, object, object]] = []
    if _by_optuna(settings):
        directions = ["minimize" if name in COSTS else "maximize" for name in objective]
        alone = "basic_launcher" in launcher["_target_"]
        direction = getattr(sweeper["direction"], "name", sweeper["direction"])
        wanted += [
            ("hydra.sweeper.direction", direction == "minimize", f"[{','.join(directions)}]"),
            # A job that failed has its place in the report; the search goes on without it.
            ("hydra.sweeper.max_failure_rate", sweeper["max_failure_rate"] == 0.0, 1.0),
            # Several at once know less of each other; where they run one after the other, that gains nothing.
            ("hydra.sweeper.n_jobs", alone and sweeper["n_jobs"] == 2, 1),
            # The same call, the same jobs: an interrupted sweep goes on where it was.
            ("hydra.sweeper.sampler.seed", sweeper["sampler"].get("seed", 0) is None, composed.data["eval"]["seed"]),
        ]
    if "hydra_ray_launcher.ray_launcher" in launcher["_target_"]:
        untold = launcher["ray"]["init"].get("address") is None
        wanted += [("hydra.launcher.ray.init.include_dashboard", untold, "false")]
    return [f"{key}={value}" for key, untouched, value in wanted if untouched and key not in given]


def _silence_optuna() -> None:
    """It tells of each trial on standard error, and so does confrag."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("hydra_plugins.hydra_optuna_sweeper").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"optuna|hydra_plugins")


def _write(folder: Path, about: Mapping[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SWEEP, about)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
