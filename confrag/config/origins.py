"""Which file each value of a configuration came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from confrag.config.compose import Composed
from confrag.config.overrides import leaves
from confrag.config.sources import option_file, packaged

__all__ = ["origins"]


def origins(composed: Composed, data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(path, value, origin) of each leaf of `data`; the origin is a file, or the command line.

    Files are looked through in the order in which Hydra lays them over each other: the root, the groups, the preset.
    """
    assigned = [o.lstrip("+").partition("=")[0] for o in composed.overrides]
    root = packaged() / "config.yaml"
    layers = [("conf/config.yaml", dict(leaves(_read(root))))]
    declared = [str(group) for entry in _defaults(root) if isinstance(entry, Mapping) for group in entry]
    for group in sorted(composed.choices, key=lambda g: declared.index(g) if g in declared else -1):
        layers += _option(group, composed.choices[group], composed.config_dir)
    result = []
    for path, value in leaves(data):
        origin = next((name for name, leaves in reversed(layers) if path in leaves), "default")
        if any(path == key or path.startswith(f"{key}.") for key in assigned):
            origin = "command line"
        result.append((path, yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).split("\n")[0], origin))
    return result


def _option(group: str, option: str, config_dir: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """The leaves of an option, behind those of the options that it builds upon."""
    file = option_file(group, option, config_dir)
    if file is None:
        return []
    below = []
    for entry in _defaults(file):
        named = {group: entry} if isinstance(entry, str) else entry
        for key, value in named.items():
            if not str(key).startswith("override ") and isinstance(value, str) and value != "_self_":
                below += _option(str(key).lstrip("/"), value, config_dir)
    return [*below, (_name(file, config_dir), dict(leaves(_placed(file, group))))]


def _defaults(file: Path) -> list[Any]:
    loaded = yaml.safe_load(file.read_text("utf-8"))
    defaults = loaded.get("defaults") if isinstance(loaded, Mapping) else None
    return defaults if isinstance(defaults, list) else []


def _name(path: Path, config_dir: Path | None) -> str:
    if config_dir and config_dir in path.parents:
        return str(path)
    return f"conf/{path.relative_to(packaged())}"


def _read(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text("utf-8"))
    return {k: v for k, v in loaded.items() if k not in ("defaults", "hydra")} if isinstance(loaded, Mapping) else {}


def _placed(path: Path, group: str) -> dict[str, Any]:
    """A file's values below the package that its header names; without a header, below its group."""
    package = group
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# @package"):
            package = line.removeprefix("# @package").strip()
    data: dict[str, Any] = _read(path)
    for part in reversed([] if package == "_global_" else package.split(".")):
        data = {part: data}
    return data
