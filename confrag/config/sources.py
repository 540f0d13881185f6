"""The YAML files behind a configuration: which options there are, and whether a user's own files can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from confrag.errors import UserError

__all__ = ["check_files", "describe", "group_names", "option_file", "options", "packaged", "user_config_dir"]

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


def describe(group: str, option: str, config_dir: Path | None = None) -> str:
    """The first comment line of an option's file that is not Hydra's header."""
    path = option_file(group, option, config_dir)
    for line in path.read_text("utf-8", errors="replace").splitlines() if path else []:
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
        if line.strip() and not line.startswith("#"):
            break
    return ""


def check_files(choices: Mapping[str, str], config_dir: Path | None, *, everything: bool = False) -> str:
    """Look at a user's own files for what Hydra would say badly or not at all.

    Args:
        choices: group -> option in use; their files must hold something.
        config_dir: the user's own folder.
        everything: look at each YAML file below it, and return the first fault instead of raising it.

    Raises:
        UserError: a chosen file that is empty or, being a preset, lacks its header.
    """
    if config_dir is None:
        return ""
    if everything:
        for path in sorted(config_dir.rglob("*.yaml")):
            try:
                _load(path)
            except UserError as error:
                return str(error)
        return ""
    for group, option in choices.items():
        path = config_dir / group / f"{option}.yaml"
        if not path.is_file() or (packaged() / group / f"{option}.yaml").is_file():
            continue
        data = _load(path)
        if not isinstance(data, Mapping) or not data:
            raise UserError(f"{path}: the file is empty; a configuration holds at least one key")
        if group == "conf" and GLOBAL_HEADER not in path.read_text("utf-8"):
            raise UserError(f"{path}: a preset must begin with the line '{GLOBAL_HEADER}'")
    return ""


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UserError(f"{path}{place}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
