"""A YAML file of the user's: read, and its faults named with their place, which Hydra and OmegaConf do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from confrag.errors import UserError

__all__ = ["examine", "read"]

_DEPTH = 100
_SCALARS = (str, int, float, bool, bytes, date, type(None))


def read(path: Path) -> Any:
    """The plain data of a file.

    Raises:
        UserError: it is not UTF-8, or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}{place}: not valid YAML: {reason}") from None


def examine(path: Path) -> None:
    """Look for what no configuration can hold.

    Raises:
        UserError: with the first fault.
    """
    data = read(path)
    fault = _fault(data) or _default_fault(path, data)
    if data is not None and not isinstance(data, Mapping):
        fault = f"must be a mapping (key: value), and is a {type(data).__name__}"
    if fault:
        raise UserError(f"{path}: {fault}")


def _fault(value: Any, place: str = "", above: tuple[int, ...] = ()) -> str:
    if id(value) in above or len(above) > _DEPTH:
        return f"{place[:80]}: nested too deeply, or inside itself"
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        children = value.items()
        for key in value:
            if not isinstance(key, str | int | float):
                return f"{place or '(top level)'}: the key {key!r} must be a text"
    elif isinstance(value, list):
        children = enumerate(value)
    elif not isinstance(value, _SCALARS):
        return f"{place}: a value of the type {type(value).__name__} is not allowed"
    elif isinstance(value, str) and "${" in value:
        try:
            OmegaConf.create([value])
        except OmegaConfBaseException as error:
            return f"{place} = {value!r}: no valid interpolation: {str(error).splitlines()[0]}"
    faults = (_fault(child, f"{place}.{key}" if place else str(key), (*above, id(value))) for key, child in children)
    return next(filter(None, faults), "")


def _default_fault(path: Path, data: Any) -> str:
    """What is wrong with the ``defaults`` of a file."""
    defaults = data.get("defaults", []) if isinstance(data, Mapping) else []
    if not isinstance(defaults, list):
        return "defaults: must be a list"
    for number, entry in enumerate(defaults):
        if not isinstance(entry, str | Mapping):
            return f"defaults.{number} = {entry!r}: must be 'group: option'"
        if entry == path.stem:
            return f"defaults.{number} = {entry!r}: the file names itself"
    return ""
