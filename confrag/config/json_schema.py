"""A JSON Schema for editors: completion, explanations and checks while a configuration is written.

It describes a file, not a whole configuration: nothing is required, since the rest comes from other options, a list
``defaults`` may stand first, and ``${...}`` and ``???`` may stand for any value. It knows what a key may hold; the
references between the parts are left to ``confrag validate``, which has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from confrag.config.docstrings import meaning
from confrag.config.sources import describe, group_names, options
from confrag.errors import UserError, nearest
from confrag.registry import FAMILIES, load_plugins, rebuild
from confrag.schema.base import Spec
from confrag.schema.root import Config

__all__ = ["GLOBAL", "editor_schema"]

Json = dict[str, Any]

GLOBAL = "_global_"
"""The package of what stands at the top of a configuration."""
_OPEN = {"$ref": "#/$defs/open"}
_REF = "#/$defs/"
_NO_MAPPING = {"type": ["string", "null"]}
_BY_NAME = ("merges", "cache_backends")
"""Families of which the bare name of a kind stands for it with its defaults."""
_OWN_NAME = {"DocFieldSpec": "type"}
"""Specifications for which the value of one of their keys may stand alone."""


def editor_schema(package: str = GLOBAL, config_dir: Path | None = None) -> Json:
    """The schema (draft 2020-12) of a file.

    Args:
        package: where its keys belong, as its first line says: ``_global_`` for a preset and whatever begins with
            ``# @package _global_``, else a path: ``store_conf``, ``models.llm``.
        config_dir: the user's own folder, whose options are known then, too.

    Raises:
        UserError: there is no such place in a configuration.
    """
    load_plugins()
    rebuild()
    whole = Config.model_json_schema()
    definitions: Json = whole.pop("$defs")
    specs = {spec.__name__: spec for spec in _specs()}
    for name, definition in definitions.items():
        if name in specs:
            _explain(definition, specs[name])
    _explain(whole, Config)
    parts = _Parts(definitions)
    root, partial = parts.partial(whole), parts.found
    root["properties"]["hydra"] = {"type": "object", "description": "Of Hydra itself: launcher, sweeper, folders."}
    place = root if package == GLOBAL else _below(root, partial, package)
    partial["open"] = {
        "description": "A value that comes from elsewhere: ${key}, or ??? for one that must be given.",
        "type": "string",
        "pattern": r"^\?\?\?$|\$\{",
    }
    defaults = {"defaults": _defaults(config_dir)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "confrag: " + ("a preset" if package == GLOBAL else package),
        **_with_defaults(place, partial, defaults),
        "$defs": partial,
    }


def _specs() -> Iterator[type[Spec]]:
    pending: list[type[Spec]] = [Spec]
    while pending:
        for spec in pending.pop().__subclasses__():
            yield spec
            pending.append(spec)


def _explain(definition: Json, spec: type[Spec]) -> None:
    """Put the docstrings below fields where editors look for them."""
    names = {field.alias or name: name for name, field in spec.model_fields.items()}
    for key, schema in definition.get("properties", {}).items():
        if text := meaning(spec, names.get(key, key)):
            schema["description"] = text


class _Parts:
    """The definitions of the whole, each as what a file may hold of it; choices of kinds become definitions, too."""

    def __init__(self, definitions: Json) -> None:
        self._definitions = definitions
        self.found: Json = {}
        for name, definition in definitions.items():
            self.found[name] = self.partial(definition)

    def partial(self, schema: Json) -> Json:
        """What may stand in a file that holds a part of what `schema` describes."""
        if "discriminator" in schema:
            return {"$ref": _REF + self._choice(schema["discriminator"]), **_description(schema)}
        # Bounds of how much there is hold for the whole, not for a part.
        result = {key: value for key, value in schema.items() if key not in ("title", "required", "minProperties")}
        for key in ("properties", "patternProperties"):
            if key in result:
                result[key] = {name: self._value(part) for name, part in result[key].items()}
        for key in ("items", "additionalProperties"):
            if isinstance(result.get(key), dict):
                result[key] = self._value(result[key])
        if "anyOf" in result:
            result["anyOf"] = [self.partial(part) for part in result["anyOf"]]
        if result.get("type") == "array" and "items" in result:
            # One of what is listed may stand alone.
            return {"anyOf": [result, result["items"]], **_kept(result)}
        return result

    def _value(self, schema: Json) -> Json:
        """The same, or something that stands for a value."""
        inner = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
        if len(inner) == 1 and self._is_mapping(inner[0]):
            # Told apart beforehand, so that a mistake inside is reported and not that nothing fits.
            alone = [_OPEN, *self._names(inner[0]), {"type": "null"}]
            mapping = self.partial({key: part for key, part in inner[0].items() if key != "description"})
            return {"if": _NO_MAPPING, "then": {"anyOf": alone}, "else": mapping, **_description(schema)}
        partial = self.partial(schema)
        if partial.get("type") == "string" and not {"pattern", "enum", "const"} & partial.keys():
            return partial
        return {"anyOf": [*partial["anyOf"], _OPEN] if "anyOf" in partial else [partial, _OPEN], **_kept(schema)}

    def _is_mapping(self, schema: Json) -> bool:
        if "$ref" in schema:
            return self._is_mapping(self._definitions[schema["$ref"].removeprefix(_REF)])
        return "discriminator" in schema or schema.get("type") == "object"

    def _names(self, schema: Json) -> list[Json]:
        """Texts that stand for a mapping: the kind of a rule or a place, the type of a field."""
        if "discriminator" in schema:
            kinds = schema["discriminator"]["mapping"]
            return [{"enum": list(kinds)}] if _family(kinds) in _BY_NAME else []
        name = schema.get("$ref", "").removeprefix(_REF)
        return [self._definitions[name]["properties"][_OWN_NAME[name]]] if name in _OWN_NAME else []

    def _choice(self, discriminator: Json) -> str:
        """The name of the definition of one of several kinds: told by its tag, else with the keys of any."""
        tag: str = discriminator["propertyName"]
        kinds: Mapping[str, str] = discriminator["mapping"]
        family = _family(kinds)
        name = family or "_or_".join(kinds)
        if name in self.found:
            return name
        # Steps hold steps.
        self.found[name] = {}
        summaries = {kind.name: kind.summary for kind in FAMILIES[family]} if family else {}
        # A split store is recognised by its two keys; it has no type to write.
        written = [kind for kind in kinds if (tag, kind) != ("type", "split")]
        known: dict[str, list[Json]] = {}
        for reference in kinds.values():
            for key, part in self._definitions[reference.removeprefix(_REF)].get("properties", {}).items():
                if key != tag and (value := self._value(part)) not in known.setdefault(key, []):
                    known[key].append(value)
        self.found[name] = {
            "type": "object",
            "properties": {
                tag: {
                    "description": "; ".join(": ".join(filter(None, (kind, summaries.get(kind)))) for kind in written),
                    "anyOf": [{"enum": written}, _OPEN],
                }
            },
            "if": {"required": [tag]},
            "then": {
                "allOf": [
                    {"if": {"properties": {tag: {"const": kind}}}, "then": {"$ref": kinds[kind]}} for kind in written
                ]
            },
            "else": {
                "properties": {key: parts[0] if len(parts) == 1 else {"anyOf": parts} for key, parts in known.items()},
                "additionalProperties": False,
            },
        }
        return name


def _family(kinds: Mapping[str, str]) -> str | None:
    return next((name for name, family in FAMILIES.items() if set(family.names) == set(kinds)), None)


def _kept(schema: Json) -> Json:
    return {key: schema[key] for key in ("description", "default") if key in schema}


def _description(schema: Json) -> Json:
    return {"description": schema["description"]} if "description" in schema else {}


def _below(root: Json, definitions: Json, package: str) -> Json:
    """What stands at a path: through properties, and through mappings by any name."""
    place = root
    for name in package.split("."):
        place = _reached(place, definitions)
        known = place.get("properties", {})
        entries = [*place.get("patternProperties", {}).values(), place.get("additionalProperties")]
        below = known.get(name) or next((entry for entry in entries if isinstance(entry, dict)), None)
        if below is None:
            hint = f". Did you mean '{near}'?" if (near := nearest(name, known)) else ""
            raise UserError(f"{package}: there is no such place in a configuration; known: {', '.join(known)}{hint}")
        place = below
    return _reached(place, definitions)


def _reached(place: Json, definitions: Json) -> Json:
    """A place itself, in place of what may stand for it or leads to it."""
    while True:
        if place.get("if") == _NO_MAPPING:
            place = place["else"]
        elif "$ref" in place:
            place = definitions[place["$ref"].removeprefix(_REF)]
        else:
            return place


def _with_defaults(place: Json, definitions: Json, more: Json) -> Json:
    """`place` with the key ``defaults``, which no mapping of names may take for one of them."""
    if "else" in place:
        # A choice of kinds: its definitions are closed, so the list is let through beside them.
        return {**place, **_opened(place, definitions, more)}
    names = place.get("patternProperties", {})
    patterns = {"patternProperties": {f"^(?!defaults$){name.removeprefix('^')}": names[name] for name in names}}
    return {
        **place,
        **(patterns if names else {}),
        "properties": {**place.get("properties", {}), **more},
    }


def _opened(choice: Json, definitions: Json, more: Json) -> Json:
    kinds = [
        {
            "if": entry["if"],
            "then": {
                **(spec := definitions[entry["then"]["$ref"].removeprefix(_REF)]),
                "properties": {**spec.get("properties", {}), **more},
            },
        }
        for entry in choice["then"]["allOf"]
    ]
    anything = {**choice["else"], "properties": {**choice["else"]["properties"], **more}}
    return {"then": {"allOf": kinds}, "else": anything}


def _defaults(config_dir: Path | None) -> Json:
    """Hydra's list: options of groups, other files of the group, and ``_self_``."""
    chosen = {}
    for group in group_names(config_dir):
        names = options(group, config_dir)
        said = "; ".join(f"{name}: {describe(group, name, config_dir)}" for name in names)
        known: Json = {"anyOf": [{"enum": list(names)}, {"type": ["string", "null"]}]}
        chosen[f"override /{group}"] = {"description": said, **known}
    entry = {
        "type": "object",
        "properties": chosen,
        "patternProperties": {r"^(override |optional )*/?[\w./@-]+$": {"type": ["string", "null", "array"]}},
        "additionalProperties": False,
        "maxProperties": 1,
    }
    return {
        "description": "Hydra's defaults list: which options this file begins with. `_self_`: where its own keys come.",
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, entry]},
    }
