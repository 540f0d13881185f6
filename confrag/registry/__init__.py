"""The one table of what a configuration may name: kind -> specification and builder.

Builders are strings, imported when something is built: looking a kind up, or validating it, imports no backend.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from confrag.errors import UserError
from confrag.registry.builtin import BUILTIN
from confrag.schema.base import Family, Kind, Spec
from confrag.schema.cache import BACKENDS, CACHES
from confrag.schema.indices import INDEX_KINDS
from confrag.schema.merges import MERGES
from confrag.schema.models import MODELS
from confrag.schema.nodes import TRANSFORMS
from confrag.schema.root import STORES, Config
from confrag.schema.steps import STEPS

__all__ = ["FAMILIES", "builder", "load_plugins", "rebuild", "register"]

FAMILIES: Mapping[str, Family] = {
    "stores": STORES,
    "transforms": TRANSFORMS,
    "indices": INDEX_KINDS,
    "caches": CACHES,
    "cache_backends": BACKENDS,
    "models": MODELS,
    "steps": STEPS,
    "merges": MERGES,
}

_callables: dict[str, Callable[..., Any]] = {}
_plugins_loaded = False

for _family, _kinds in BUILTIN.items():
    for _kind in _kinds:
        FAMILIES[_family].add(_kind)


def register(family: str, name: str, spec: type[Spec], builder: str | Callable[..., Any], summary: str = "") -> None:
    """Add a kind of your own, to be selected by its name in YAML.

    Args:
        family: ``stores``, ``transforms``, ``indices``, ``caches``, ``cache_backends``,
            ``models``, ``steps`` or ``merges``.
        name: what a configuration writes as `kind` (or `type`, for a store).
        spec: its keys; a subclass of the family's own base specification.
        builder: a function that takes the keys as flat arguments, or ``module:function``.
        summary: one line for ``confrag ls``.

    Raises:
        UserError: an unknown family, or a name that is taken.
    """
    if family not in FAMILIES:
        raise UserError(f"unknown family '{family}'; known: {', '.join(FAMILIES)}")
    target = builder if isinstance(builder, str) else f"{builder.__module__}:{builder.__qualname__}"
    FAMILIES[family].add(Kind(name, spec, target, summary or (spec.__doc__ or "").strip().partition("\n")[0]))
    if Config.__pydantic_complete__:
        # It has validated something already, by the kinds that there were.
        rebuild()
    if not isinstance(builder, str):
        _callables[target] = builder


def rebuild() -> None:
    """Let the schema know the kinds that there are by now, at any depth."""
    pending: list[type[Spec]] = [Spec]
    while pending:
        for spec in pending.pop().__subclasses__():
            pending.append(spec)
            # pydantic would put what it has kept of a part into the whole; steps hold steps.
            if "__pydantic_core_schema__" in spec.__dict__:
                del spec.__pydantic_core_schema__
    Config.model_rebuild(force=True)


def builder(family: str, name: str) -> Callable[..., Any]:
    """The function that builds a kind; imports its module."""
    target = FAMILIES[family][name].builder
    if target in _callables:
        return _callables[target]
    module, _, attribute = target.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def load_plugins() -> bool:
    """Run every installed plugin (entry points of the group ``confrag.plugins``), once.

    Returns:
        Whether kinds have come with them.
    """
    global _plugins_loaded
    if _plugins_loaded:
        return False
    _plugins_loaded = True
    # Reading the metadata of every installed package takes as long as a validation.
    from importlib.metadata import entry_points

    before = sum(len(family.names) for family in FAMILIES.values())
    for entry in entry_points(group="confrag.plugins"):
        plugin = entry.load()
        if callable(plugin):
            plugin()
    return sum(len(family.names) for family in FAMILIES.values()) > before
