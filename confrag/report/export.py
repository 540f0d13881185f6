"""A job as a preset of the user's own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from confrag.config import load
from confrag.config.overrides import assignments
from confrag.config.sources import GLOBAL_HEADER, group_names, options, packaged
from confrag.errors import ConfigError, UserError
from confrag.report import figures
from confrag.report.model import Job
from confrag.report.sentences import metric_label

__all__ = ["export", "own_documents", "preset"]

# What belongs to the call or to the place where it ran, and the documents that it was measured on.
_LEFT_OUT = (
    "conf", "corpus", "dataset", "eval", "objective", "resume", "query", "queries_file", "output", "format", "where",
    "stream", "verbose", "debug", "progress", "state_dir", "hydra", "bench", "filters",
)  # fmt: skip


def export(job: Job, name: str, config_dir: Path, metric: str, *, force: bool = False) -> Path:
    """Write the configuration of a job as the preset ``conf/NAME.yaml`` below a folder of configurations.

    Args:
        job: one that is done.
        name: of the preset.
        config_dir: the folder; it is made where it does not exist.
        metric: the figure that the preset's comment names.
        force: replace a preset of that name.

    Returns:
        The file.

    Raises:
        UserError: the name is taken or none for a file, the file cannot be written, or no file can say what the job's
            overrides did.
    """
    if not re.fullmatch(r"\w[\w-]*", name):
        raise UserError(f"name={name}: letters, digits, _ and - only")
    if (packaged() / "conf" / f"{name}.yaml").is_file():
        raise UserError(f"name={name}: a packaged preset has this name, and it would win; choose another one")
    path = config_dir / "conf" / f"{name}.yaml"
    if path.exists() and not force:
        raise UserError(f"{path} exists; choose another name, or replace it with force=true")
    text = preset(job, metric, config_dir if config_dir.is_dir() else None)
    # Under a name of its own until it has shown that it does what it should.
    unfinished = path.with_name(f"{name}_{os.getpid()}.yaml")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, "utf-8")
        _check(job, unfinished.stem, config_dir)
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return path


def _check(job: Job, name: str, config_dir: Path) -> None:
    """Raises UserError when the preset is not the configuration of the job."""
    try:
        wanted = load(_based_on(job), _kept(job), config_dir)[1]
    except UserError:
        return  # no longer valid here, whether by overrides or by a preset: there is nothing to compare with
    reason = "it would be another configuration"
    try:
        if load(name, (), config_dir)[1] == wanted:
            return
    except ConfigError as error:
        reason = str(error.problems[0])
    kinds = [o for o in _kept(job) if re.match(r"[\w.]+\.(kind|type)=", o)]
    hint = f"; '{kinds[0]}' drops keys, which a preset cannot: choose an option of its group instead" if kinds else ""
    raise UserError(f"{job.folder}: its overrides cannot be written as a preset: {reason}{hint}")


def _based_on(job: Job) -> str:
    return str(job.document.get("conf") or "quickstart")


def _kept(job: Job) -> list[str]:
    """The overrides that belong to the pipeline, and to the documents if these are the user's own."""
    kept = ("corpus",) if own_documents(job) else ()
    heads = ((o, re.split(r"[./@=]", o.lstrip("~"))[0]) for o in job.overrides)
    return [o for o, head in heads if head in kept or head not in _LEFT_OUT]


def own_documents(job: Job) -> bool:
    """Whether the documents were those of the configuration, and not of a dataset that took their place."""
    return bool((job.document.get("dataset") or {}).get("own"))


def preset(job: Job, metric: str, config_dir: Path | None = None) -> str:
    """The YAML of a preset: the one that the job was based on, and what differs from it.

    Raises:
        UserError: the job's preset does not exist here, or it deletes a key, which a file cannot do.
    """
    based_on = _based_on(job)
    if based_on not in options("conf", config_dir):
        raise UserError(
            f"{job.folder}: it was based on the preset '{based_on}', which does not exist here; name the folder that "
            "has it with --config-dir"
        )
    groups = group_names(config_dir)
    chosen: dict[str, str | None] = {}
    values: list[str] = []
    for override in _kept(job):
        key, equals, value = override.partition("=")
        if key in groups and equals and not value.lstrip().startswith("{"):
            chosen[key] = value
        elif key.lstrip("~") in groups and key.startswith("~"):
            chosen[key.lstrip("~")] = None
        elif key.startswith("~"):
            raise UserError(f"{job.folder}: its override '{override}' deletes a key, which a preset cannot do")
        else:
            values.append(f"++{override}")
    defaults: list[Any] = [based_on, *({f"override /{group}": option} for group, option in chosen.items()), "_self_"]
    body = {"defaults": defaults, **_nested(dict(assignments(values)))}
    return "\n".join([GLOBAL_HEADER, *_comment(job, metric), _yaml(body)])


def _comment(job: Job, metric: str) -> list[str]:
    document = job.document
    dataset, mean = document.get("dataset") or {}, (document.get("metrics") or {}).get(metric)
    ended = str((document.get("provenance") or {}).get("ended") or "")[:10]
    measured = f"{metric_label(metric)} {figures.score(mean)} on " if mean is not None else "Evaluated on "
    place = f"{dataset.get('name')} ({len(job.rows):,} queries){f', {ended}' if ended else ''}"
    lines = [f"{measured}{place}.", *([] if own_documents(job) else ["The documents are yours: corpus.path=DIR."])]
    # A line of its own for each word of foreign origin: a line break in it would end the comment.
    return [f"# {' '.join(line.split())}" for line in lines]


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    result: dict[str, Any] = {}
    for path, value in leaves.items():
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return result


def _yaml(body: Mapping[str, Any]) -> str:
    class Indented(yaml.SafeDumper):
        """Lists indented below their key, as in the packaged presets."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    return yaml.dump(dict(body), Dumper=Indented, sort_keys=False, allow_unicode=True, width=100)
