"""The YAML files behind a configuration: which options there are, and whether a user's own files can be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from confrag.config.files import examine, read
from confrag.errors import UserError, nearest

__all__ = [
    "check_files",
    "check_option",
    "describe",
    "first_fault",
    "group_names",
    "option_file",
    "options",
    "packaged",
    "user_config_dir",
]

GLOBAL_HEADER = "# @package _global_"


def packaged() -> Path:
    """The folder of the packaged configurations."""
    return Path(str(files("confrag.conf")))


def user_config_dir(config_dir: str | Path | None) -> Path | None:
    """The user's own folder of configurations: the argument, else the environment's ``CONFRAG_CONFIG_DIR``.

    Raises:
        UserError: it is no folder.
    """
    given = config_dir or os.environ.get("CONFRAG_CONFIG_DIR")
    if not given:
        return None
    folder = Path(given).expanduser().absolute()
    if not folder.is_dir():
        source = "--config-dir" if config_dir else "CONFRAG_CONFIG_DIR"
        raise UserError(f"{source}={given}: there is no such folder")
    return folder


def _folders(config_dir: Path | None) -> Iterator[Path]:
    yield packaged()
    if config_dir:
        yield config_dir


def group_names(config_dir: Path | None = None) -> tuple[str, ...]:
    """The config groups: ``corpus``, ``store_conf``, ..., ``conf`` for the presets."""
    found = {
        entry.name
        for folder in _folders(config_dir)
        for entry in folder.iterdir()
        if entry.is_dir() and entry.name != "hydra" and any(entry.glob("*.yaml"))
    }
    return tuple(sorted(found))


def options(group: str, config_dir: Path | None = None) -> tuple[str, ...]:
    """The options of a group, sorted."""
    return tuple(sorted({path.stem for folder in _folders(config_dir) for path in (folder / group).glob("*.yaml")}))


def option_file(group: str, option: str, config_dir: Path | None = None) -> Path | None:
    """The file of an option; packaged ones come first, as Hydra has it."""
    for folder in _folders(config_dir):
        path = folder / group / f"{option}.yaml"
        if path.is_file():
            return path
    return None


def check_option(group: str, option: str, config_dir: Path | None = None) -> None:
    """Raises UserError when a group has options, and not this one."""
    known = options(group, config_dir)
    if known and option not in known:
        close, own = nearest(option, known), f"{group}/{option}.yaml"
        hint = f". Did you mean '{close}'?" if close else ""
        if config_dir is None and Path(own).is_file():
            hint = f". The file '{own}' here counts with --config-dir ."
        raise UserError(
            f"{group}={option}: there is no such {'preset' if group == 'conf' else f'option of {group}'}; "
            f"known: {', '.join(known)}{hint}"
        )


def describe(group: str, option: str, config_dir: Path | None = None) -> str:
    """The first comment line of an option's file that is not Hydra's header."""
    path = option_file(group, option, config_dir)
    for line in path.read_text("utf-8", errors="replace").splitlines() if path else []:
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
        if line.strip() and not line.startswith("#"):
            break
    return ""


def check_files(choices: Mapping[str, str], config_dir: Path | None) -> None:
    """Look at the user's own files in use for what Hydra does not say.

    Args:
        choices: group -> option in use.
        config_dir: the user's own folder.

    Raises:
        UserError: a file that is empty or holds what no configuration can or, being a preset, lacks its header.
    """
    for group, option in choices.items() if config_dir else ():
        path = option_file(group, option, config_dir)
        if path is None or packaged() in path.parents:
            continue
        if not read(path):
            raise UserError(f"{path}: the file is empty; a configuration holds at least one key")
        examine(path)
        # Hydra looks no further than the first line that is no header.
        if group == "conf" and not re.match(rf"\s*{GLOBAL_HEADER}\s", path.read_text("utf-8")):
            raise UserError(f"{path}: a preset must begin with the line '{GLOBAL_HEADER}'")


def first_fault(config_dir: Path | None) -> UserError | None:
    """The first of the user's own files that cannot be read, and why."""
    for path in sorted(config_dir.rglob("*.yaml")) if config_dir else ():
        try:
            examine(path)
        except UserError as error:
            return error
    return None
