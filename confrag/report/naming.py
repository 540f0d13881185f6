"""Names of jobs: what distinguishes them, in few words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from confrag.report.model import Job

__all__ = ["named", "swept_keys"]

# These say how or where a job ran, and not what.
_OF_THE_CALL = ("query", "output", "resume", "progress", "verbose", "debug", "hydra", "state_dir")
_PLACES = ("dataset.path", "eval.concurrency")


def swept_keys(jobs: Iterable[Job]) -> list[str]:
    """The keys whose value differs between jobs, in the order in which they were typed."""
    values: dict[str, set[str]] = {}
    assigned = [job.assigned for job in jobs]
    for key in dict.fromkeys(key for keys in assigned for key in keys):
        values[key] = {keys.get(key, "") for keys in assigned}
    return [key for key, found in values.items() if len(found) > 1 and not _of_the_call(key)]


def _of_the_call(key: str) -> bool:
    return key in _PLACES or re.split(r"[./]", key)[0] in _OF_THE_CALL


def named(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The jobs, each with a name of its own.

    A name holds what differs: the options of groups by their value (``milvus_hnsw · dense``), other keys by their last
    word (``topk=3``), or in full where that is ambiguous. Equal jobs are told apart by their folder.
    """
    keys = swept_keys(jobs)
    labels = _labels(keys)
    names = [_name(job, labels) for job in jobs]
    equal = Counter(names)
    places = _places([job.folder for job in jobs])
    unique = [f"{name} ({place})" if equal[name] > 1 else name for name, place in zip(names, places, strict=True)]
    return tuple(replace(job, name=name) for job, name in zip(jobs, unique, strict=True))


def _labels(keys: Sequence[str]) -> dict[str, str]:
    """Key -> what stands in front of its value."""
    last = Counter(key.rpartition(".")[2] for key in keys if "." in key)
    return {
        key: "" if "." not in key else f"{short if last[short := key.rpartition('.')[2]] == 1 else key}="
        for key in keys
    }


def _name(job: Job, labels: dict[str, str]) -> str:
    assigned = job.assigned
    parts = [f"{label}{assigned[key]}" for key, label in labels.items() if key in assigned]
    if parts:
        return " · ".join(parts)
    return str(assigned.get("conf") or job.document.get("conf") or "default")


def _places(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    paths = [folder.resolve() for folder in folders]
    for length in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        ends = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(ends)) == len(ends):
            return ends
    return [str(path) for path in paths]
