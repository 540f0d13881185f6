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
    entries = [entry for entry in yaml.safe_load(root.read_text("utf-8"))["defaults"] if isinstance(entry, dict)]
    declared = [str(group) for entry in entries for group in entry]
    for group in sorted(composed.choices, key=lambda g: declared.index(g) if g in declared else -1):
        file = option_file(group, composed.choices[group], composed.config_dir)
        if file:
            layers.append((_name(file, composed.config_dir), dict(leaves(_placed(file, group)))))
    result = []
    for path, value in leaves(data):
        origin = next((name for name, leaves in reversed(layers) if path in leaves), "default")
        if any(path == key or path.startswith(f"{key}.") for key in assigned):
            origin = "command line"
        result.append((path, yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).split("\n")[0], origin))
    return result


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
