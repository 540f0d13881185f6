"""From plain data to a validated configuration, or to every error of it at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from confrag.config.checks import CHECKS, Check
from confrag.config.compose import Composed
from confrag.config.overrides import assignments
from confrag.config.places import Place, locate
from confrag.errors import ConfigError, Problem, nearest
from confrag.registry import FAMILIES, load_plugins
from confrag.schema.root import Config

__all__ = ["validate"]

_FAMILIES = tuple(FAMILIES.values())


def validate(composed: Composed, *more: Check) -> Config:
    """Check a configuration completely.

    Args:
        composed: the configuration.
        more: checks of what only some verbs need.

    Raises:
        ConfigError: with every problem of the schema and of the references between its parts.
    """
    data = _switch_kinds(composed.data, composed.overrides)
    problems: list[Problem] = []
    config = None
    try:
        config = _parse(data)
    except ValidationError as error:
        problems += [_problem(data, details, composed.choices) for details in error.errors(include_url=False)]
    for check in (*CHECKS, *more):
        problems += check(data)
    if problems or config is None:
        raise ConfigError(list(_unique(problems)), composed.name)
    return config


def _parse(data: Mapping[str, Any]) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        # A kind that is not known may come with a plugin.
        if any(details["type"] == "union_tag_invalid" for details in error.errors()) and load_plugins():
            return Config.model_validate(data)
        raise


def _unique(problems: Sequence[Problem]) -> Iterator[Problem]:
    seen = set()
    for problem in problems:
        key = (problem.path, problem.message)
        if key not in seen:
            seen.add(key)
            yield problem


def _switch_kinds(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Let ``models.llm.kind=extractive`` stand alone: keys that only the former kind knows go with it."""
    data = dict(data)
    assigned = dict(assignments(overrides))
    for dotted, value in assigned.items():
        parent, _, tag = dotted.rpartition(".")
        if parent and tag in ("kind", "type") and isinstance(value, str):
            kept = {key.removeprefix(f"{parent}.") for key in assigned if key.startswith(f"{parent}.")}
            data = _replace(data, parent.split("."), tag, value, kept)
    return data


def _replace(data: dict[str, Any], path: Sequence[str], tag: str, kind: str, kept: set[str]) -> dict[str, Any]:
    if path:
        child = data.get(path[0])
        replaced = _replace(dict(child), path[1:], tag, kind, kept) if isinstance(child, Mapping) else child
        return {**data, path[0]: replaced} if path[0] in data else data
    for family in (family for family in _FAMILIES if family.tag == tag and kind in family):
        spec, others = family[kind].spec, [other.spec for other in family]
        if set(data) <= {name for other in others for name in other.model_fields}:
            return _prune(data, spec, others, kept)
    return data


def _prune(
    data: Mapping[str, Any], spec: type[BaseModel], others: Sequence[type[BaseModel]], kept: set[str], path: str = ""
) -> dict[str, Any]:
    """Drop what `spec` does not know and one of the others does, unless the user has just set it."""
    result = {}
    for key, value in data.items():
        fields = [other.model_fields[key] for other in others if key in other.model_fields]
        place = f"{path}{key}"
        if key not in spec.model_fields:
            if not fields or any(name == place or name.startswith(f"{place}.") for name in kept):
                result[key] = value
            continue
        nested = Place(spec).below(key).model
        if nested and isinstance(value, Mapping):
            places = [Place.of(field.annotation, field.metadata) for field in fields]
            models = [model for p in places if (model := p.model or p.below("").model)]
            value = _prune(value, nested, models, kept, f"{place}.")
        result[key] = value
    return result


def _problem(data: Mapping[str, Any], details: Any, groups: Collection[str]) -> Problem:
    """One error of pydantic's in a user's words. Names of groups are looked at, too, where one may have been meant."""
    path, model = locate(data, details["loc"])
    dotted, kind, context = ".".join(map(str, path)), details["type"], details.get("ctx", {})
    value = details["input"]
    if kind == "extra_forbidden":
        known = list(model.model_fields) if model else []
        # What looks like a key of a provider's is not repeated where others may read it.
        shown = ... if "key" in str(path[-1]).lower() else value
        if dotted in groups:
            sets = f"which keys an option sets, 'confrag show {dotted}=OPTION where=true' says"
            return Problem(dotted, f"is a group and no key: {dotted}=OPTION chooses; {sets}", shown)
        meant = nearest(path[-1], known if len(path) > 1 else [*known, *groups])
        return Problem(dotted, f"unknown key; known here: {', '.join(known)}", shown, meant)
    if kind == "string_type" and details["loc"][-1] == "[key]":
        return Problem(dotted, "the key must be a text; quote it")
    if kind == "missing":
        return Problem(dotted, "required, and missing")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        known = re.findall(r"'([^']+)'", str(context.get("expected_tags", "")))
        tag = str(context.get("discriminator", "'kind'")).strip("'")
        known = [name for name in known if name != "split" or tag != "type"] or known
        if kind == "union_tag_not_found":
            return Problem(f"{dotted}.{tag}", "required, and missing")
        return Problem(
            f"{dotted}.{tag}",
            f"must be one of: {', '.join(known)}",
            context.get("tag"),
            nearest(context.get("tag"), known),
        )
    if kind == "literal_error":
        known = re.findall(r"'([^']+)'", str(context.get("expected", "")))
        return Problem(dotted, f"must be one of: {', '.join(known)}", value, nearest(value, known))
    if kind == "value_error":
        return Problem(dotted, str(context.get("error", details["msg"])), ...)
    if kind in ("model_type", "model_attributes_type", "mapping_type", "dict_type"):
        return Problem(dotted, "must be a mapping (key: value)", value)
    if kind in ("tuple_type", "list_type"):
        return Problem(dotted, "must be a list", value)
    if kind == "recursion_depth_exceeded":
        return Problem(".".join(map(str, path[:6])), "nested too deeply")
    message = re.sub(r"^(Input|String|Tuple|Value|Dictionary) should", "must", details["msg"])
    return Problem(dotted, message[0].lower() + message[1:].removesuffix(" after validation, not 0"), value)
