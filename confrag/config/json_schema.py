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

__all__ = ["editor_schema"]

Json = dict[str, Any]

GLOBAL = "_global_"
_OPEN = {"$ref": "#/$defs/open"}
_REF = "#/$defs/"
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
    partial = {name: _partial(definition, definitions) for name, definition in definitions.items()}
    root = _partial(whole, definitions)
    root["properties"]["hydra"] = {"type": "object", "description": "Of Hydra itself: launcher, sweeper, folders."}
    place = root if package == GLOBAL else _below(root, partial, package)
    partial["open"] = {
        "description": "A value that comes from elsewhere: ${key}, or ??? for one that must be given.",
        "type": "string",
        "pattern": r"^\?\?\?$|\$\{",
    }
    defaults = {"properties": {"defaults": _defaults(config_dir)}}
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


def _partial(schema: Json, definitions: Json) -> Json:
    """What may stand in a file that holds a part of what `schema` describes."""
    if "discriminator" in schema:
        return _choice(schema, definitions)
    result = {key: value for key, value in schema.items() if key not in ("title", "required")}
    for key in ("properties", "patternProperties"):
        if key in result:
            result[key] = {name: _value(part, definitions) for name, part in result[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _value(result[key], definitions)
    if "anyOf" in result:
        result["anyOf"] = [_partial(part, definitions) for part in result["anyOf"]]
    # Bounds of how much there is hold for the whole, not for a part.
    result.pop("minProperties", None)
    if result.get("type") == "array":
        # One of what is listed may stand alone.
        return {"anyOf": [result, result["items"]], **_description(result)}
    return result


def _value(schema: Json, definitions: Json) -> Json:
    """The same, or something that stands for a value."""
    partial = _partial(schema, definitions)
    name = str(partial.get("$ref", "")).removeprefix(_REF)
    if name in _OWN_NAME:
        alone = definitions[name]["properties"][_OWN_NAME[name]]
        return {"anyOf": [partial, alone, _OPEN], **_description(partial)}
    if "if" in partial or "$ref" in partial or partial.get("type") == "object":
        # Told apart beforehand, so that a mistake inside is reported and not that nothing fits.
        return {"if": {"type": "string"}, "then": _OPEN, "else": partial, **_description(partial)}
    if partial.get("type") == "string" and not {"pattern", "enum", "const"} & partial.keys():
        return partial
    return {"anyOf": [*partial["anyOf"], _OPEN] if "anyOf" in partial else [partial, _OPEN], **_kept(partial)}


def _kept(schema: Json) -> Json:
    return {key: schema[key] for key in ("description", "default") if key in schema}


def _description(schema: Json) -> Json:
    return {"description": schema["description"]} if "description" in schema else {}


def _choice(schema: Json, definitions: Json) -> Json:
    """One of several kinds: by its tag where that is there, else with the keys of any."""
    tag: str = schema["discriminator"]["propertyName"]
    kinds: Mapping[str, str] = schema["discriminator"]["mapping"]
    family = next((name for name, family in FAMILIES.items() if set(family.names) == set(kinds)), None)
    summaries = {kind.name: kind.summary for kind in FAMILIES[family]} if family else {}
    written = [name for name in kinds if (tag, name) != ("type", "split")]
    tags = {
        "description": "; ".join(f"{name}: {summaries[name]}" if summaries.get(name) else name for name in written),
        "anyOf": [{"enum": written}, _OPEN],
    }
    known: dict[str, list[Json]] = {}
    for reference in kinds.values():
        for key, part in definitions[reference.removeprefix(_REF)].get("properties", {}).items():
            if key != tag and (value := _value(part, definitions)) not in known.setdefault(key, []):
                known[key].append(value)
    anything = {key: values[0] if len(values) == 1 else {"anyOf": values} for key, values in known.items()}
    result: Json = {
        "type": "object",
        "properties": {tag: tags},
        "if": {"required": [tag]},
        "then": {
            "allOf": [
                {"if": {"properties": {tag: {"const": name}}}, "then": {"$ref": reference}}
                for name, reference in kinds.items()
                if name in written
            ]
        },
        "else": {"properties": anything, "additionalProperties": False},
        **_description(schema),
    }
    if family in _BY_NAME:
        return {"if": {"type": "string"}, "then": {"anyOf": [{"enum": written}, _OPEN]}, "else": result}
    return result


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
        if place.get("then") == _OPEN:
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
    return {**place, "properties": {**place.get("properties", {}), **more["properties"]}}


def _opened(choice: Json, definitions: Json, more: Json) -> Json:
    kinds = [
        {
            "if": entry["if"],
            "then": {
                **(spec := definitions[entry["then"]["$ref"].removeprefix(_REF)]),
                "properties": {**spec.get("properties", {}), **more["properties"]},
            },
        }
        for entry in choice["then"]["allOf"]
    ]
    anything = {**choice["else"], "properties": {**choice["else"]["properties"], **more["properties"]}}
    return {"then": {"allOf": kinds}, "else": anything}


def _defaults(config_dir: Path | None) -> Json:
    """Hydra's list: options of groups, other files of the group, and ``_self_``."""
    chosen = {}
    for group in group_names(config_dir):
        names = options(group, config_dir)
        said = "; ".join(f"{name}: {describe(group, name, config_dir)}" for name in names)
        chosen[f"override /{group}"] = {"anyOf": [{"enum": list(names)}, {"type": ["string", "null"]}]}
        chosen[f"override /{group}"]["description"] = said
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
