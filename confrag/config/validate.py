"""From plain data to a validated configuration, or to every error of it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from confrag.config.checks import CHECKS
from confrag.config.compose import Composed
from confrag.errors import ConfigError, Problem, nearest
from confrag.registry import FAMILIES, load_plugins
from confrag.schema.base import Family
from confrag.schema.root import Config

__all__ = ["validate"]

_FAMILIES = tuple(FAMILIES.values())


def validate(composed: Composed) -> Config:
    """Check a configuration completely.

    Raises:
        ConfigError: with every problem of the schema and of the references between its parts.
    """
    load_plugins()
    data = _switch_kinds(composed.data, composed.overrides)
    problems: list[Problem] = []
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += [_problem(data, details) for details in error.errors(include_url=False)]
    for check in CHECKS:
        problems += check(data)
    if problems or config is None:
        raise ConfigError(list(_unique(problems)), composed.name)
    return config


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
    assigned = {match[1] for o in overrides if (match := re.match(r"[+]*([\w.-]+)=", o))}
    for override in overrides:
        match = re.fullmatch(r"[+]*((?:[\w-]+\.)+)(kind|type)=['\"]?([\w-]+)['\"]?", override)
        if not match:
            continue
        path = match[1].rstrip(".").split(".")
        kept = {key.rpartition(".")[2] for key in assigned if key.rpartition(".")[0] == ".".join(path)}
        data = _replace(data, path, match[2], match[3], kept)
    return data


def _replace(data: dict[str, Any], path: Sequence[str], tag: str, kind: str, kept: set[str]) -> dict[str, Any]:
    if not path:
        families = [family for family in _FAMILIES if family.tag == tag and kind in family]
        for family in families:
            fields = set(family[kind].spec.model_fields)
            others = {name for other in family for name in other.spec.model_fields} - fields
            if set(data) <= fields | others:
                return {key: value for key, value in data.items() if key in fields or key in kept}
        return data
    child = data.get(path[0])
    if not isinstance(child, Mapping):
        return data
    return {**data, path[0]: _replace(dict(child), path[1:], tag, kind, kept)}


def _problem(data: Mapping[str, Any], details: Any) -> Problem:
    """One error of pydantic's in a user's words."""
    path, model = _locate(data, details["loc"])
    dotted, kind, context = ".".join(map(str, path)), details["type"], details.get("ctx", {})
    value = details["input"]
    if kind == "extra_forbidden":
        known = list(model.model_fields) if model else []
        return Problem(dotted, f"unknown key; known here: {', '.join(known)}", value, nearest(path[-1], known))
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
    message = re.sub(r"^(Input|String|Tuple|Value|Dictionary) should", "must", details["msg"])
    return Problem(dotted, message[0].lower() + message[1:], value)


def _locate(data: object, loc: Sequence[str | int]) -> tuple[list[str | int], type[BaseModel] | None]:
    """Pydantic's location without the tags of unions, and the specification that owns its last key."""
    path: list[str | int] = []
    owner: type[BaseModel] | None = Config
    place = _Place(Config)
    for key in loc:
        chosen = place.choose(key)
        if chosen is not None:
            place = chosen
            continue
        owner = place.model
        place = place.below(str(key))
        if isinstance(data, Mapping):
            data = data.get(key)
        elif isinstance(data, Sequence) and not isinstance(data, str) and isinstance(key, int):
            data = data[key] if key < len(data) else None
        path.append(key)
    return path, owner


@dataclass(frozen=True)
class _Place:
    """The declared type at a place of the configuration."""

    annotation: Any
    metadata: tuple[Any, ...] = ()

    @classmethod
    def of(cls, annotation: Any, metadata: Sequence[Any] = ()) -> _Place:
        if get_origin(annotation) is Annotated:
            annotation, *inner = get_args(annotation)
            metadata = [*inner, *metadata]
        return cls(annotation, tuple(metadata))

    @property
    def models(self) -> list[type[BaseModel]]:
        union = get_origin(self.annotation) in (Union, UnionType)
        candidates = get_args(self.annotation) if union else (self.annotation,)
        return [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]

    @property
    def model(self) -> type[BaseModel] | None:
        return self.models[0] if len(self.models) == 1 else None

    def choose(self, key: str | int) -> _Place | None:
        """The kind that `key` is the tag of, if it is one."""
        for family in self.metadata:
            if isinstance(family, Family) and key in family:
                return _Place(family[str(key)].spec)
        if len(self.models) > 1:
            for model in self.models:
                if "type" in model.model_fields and model.model_fields["type"].default == key:
                    return _Place(model)
        return None

    def below(self, key: str) -> _Place:
        """The place of a key, or of an item."""
        if self.model is not None:
            field = self.model.model_fields.get(key)
            return _Place.of(field.annotation, field.metadata) if field else _Place(None)
        arguments = [a for a in get_args(self.annotation) if a is not Ellipsis]
        return _Place.of(arguments[-1]) if arguments else _Place(None)
