"""Reads the folders of jobs that evaluations leave behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from confrag.errors import UserError
from confrag.report.model import Job, Results, Sweep
from confrag.report.naming import named

__all__ = ["read"]

FORMAT = 1
EVALUATION, QUERIES, SWEEP, ANSWERS = "eval.json", "queries.jsonl", "sweep.json", "run.json"


def read(folders: Sequence[str | Path]) -> Results:
    """Read sweeps, or single jobs.

    Args:
        folders: of a sweep (with a folder for each job), or of one job (with ``eval.json``).

    Raises:
        UserError: a folder does not exist, holds no job, or none that is done; a file cannot be read; the jobs were
            evaluated on different datasets.
    """
    jobs: list[Job] = []
    seen: set[Path] = set()
    for folder in map(_existing, folders):
        if folder.resolve() not in seen:
            seen.add(folder.resolve())
            jobs += _jobs(folder)
    done = [job for job in jobs if job.status == "done"]
    for job in done:
        _check_dataset(done[0], job)
    dataset = done[0].document.get("dataset", {}) if done else {}
    sweeps = dict.fromkeys(job.sweep.folder for job in jobs)
    by_folder = {job.sweep.folder: job.sweep for job in jobs}
    return Results(named(jobs), tuple(by_folder[folder] for folder in sweeps), dataset)


def _existing(folder: str | Path) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    return path


def _jobs(folder: Path) -> list[Job]:
    if (folder / EVALUATION).is_file():
        jobs = [_alone(folder)]
    else:
        sweep = _sweep(folder)
        jobs = [_job(child, sweep) for child in _children(folder)]
    if not jobs:
        raise UserError(
            f"{folder}: no job in it (no {EVALUATION}, neither here nor in a numbered folder); "
            "name the folder of a sweep or job of 'confrag eval'"
        )
    states = {job.status for job in jobs}
    if states == {"unfinished"}:
        raise UserError(f"{folder}: none of its {len(jobs)} jobs is finished; go on with resume=true")
    if "done" not in states:
        first = next(job for job in jobs if job.status == "failed")
        raise UserError(f"{folder}: no job is done; {first.folder.name} failed: {first.document.get('error')}")
    return jobs


def _alone(folder: Path) -> Job:
    """A job that is named by its own folder, which may lie in that of a sweep."""
    if (folder.parent / SWEEP).is_file():
        return _job(folder, _sweep(folder.parent))
    job = _job(folder, Sweep(folder))
    return replace(job, sweep=Sweep(folder, ("confrag", "eval", *job.overrides)))


def _children(folder: Path) -> Iterator[Path]:
    """The folders of jobs, by number; Hydra names them so unless it is told otherwise."""
    found = [path for path in folder.iterdir() if path.is_dir()]
    for path in sorted(found, key=lambda p: (int(p.name) if p.name.isdecimal() else -1, p.name)):
        # A job of `confrag run` leaves an answer, and is no evaluation that was cut short.
        if (path / EVALUATION).is_file() or (path.name.isdecimal() and not (path / ANSWERS).is_file()):
            yield path


def _sweep(folder: Path) -> Sweep:
    path = folder / SWEEP
    if not path.is_file():
        return Sweep(folder)
    data = _loaded(path)
    objective = data.get("objective") or []
    listed = [objective] if isinstance(objective, str) else list(objective)
    return Sweep(folder, tuple(data.get("command") or ()), tuple(listed), data.get("baseline"))


def _job(folder: Path, sweep: Sweep) -> Job:
    path = folder / EVALUATION
    if not path.is_file():
        return Job("", folder, sweep, "unfinished", {"overrides": _hydra_overrides(folder)})
    document = _loaded(path)
    if document.get("format") != FORMAT:
        raise UserError(f"{path}: format {document.get('format')!r} is not known; this version reads {FORMAT}")
    if document.get("status") != "done":
        return Job("", folder, sweep, "failed", document)
    return Job("", folder, sweep, "done", document, _rows(folder / QUERIES))


def _hydra_overrides(folder: Path) -> list[str]:
    """What an unfinished job was started with, as Hydra has noted it."""
    import yaml

    path = folder / ".hydra" / "overrides.yaml"
    try:
        loaded = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError):
        return []
    return [str(item) for item in loaded] if isinstance(loaded, list) else []


def _rows(path: Path) -> dict[str, Mapping[str, Any]]:
    rows: dict[str, Mapping[str, Any]] = {}
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            row = _parsed(line, f"{path}:{number}")
            if not isinstance(row.get("id"), str):
                raise UserError(f"{path}:{number}: the key 'id' is missing")
            rows[row["id"]] = row
    return rows


def _loaded(path: Path) -> dict[str, Any]:
    return _parsed(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: the file is missing; evaluate this job again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _parsed(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{place}: must be an object, and is a {type(value).__name__}")
    return value


def _check_dataset(first: Job, other: Job) -> None:
    known, found = (job.document.get("dataset", {}) for job in (first, other))
    if [known.get(key) for key in ("hash", "split")] != [found.get(key) for key in ("hash", "split")]:
        raise UserError(
            f"{other.folder} was evaluated on {_dataset(found)}, and {first.folder} on {_dataset(known)}; "
            "a report compares jobs on one dataset"
        )


def _dataset(dataset: Mapping[str, Any]) -> str:
    split = f"{dataset['split']}, " if dataset.get("split") else ""
    return f"'{dataset.get('name')}' ({split}{str(dataset.get('hash'))[:8]})"
