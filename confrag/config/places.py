"""Where in a configuration an error of pydantic's is, and which type is declared there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from confrag.schema.base import Family
from confrag.schema.root import Config

__all__ = ["Place", "locate"]


def locate(data: object, loc: Sequence[str | int]) -> tuple[list[str | int], type[BaseModel] | None]:
    """Pydantic's location without the tags of unions, and the specification that owns its last key."""
    path: list[str | int] = []
    owner: type[BaseModel] | None = Config
    place = Place(Config)
    for key in loc:
        if key == "[key]":
            break
        chosen = place.choose(key)
        if chosen is not None:
            place = chosen
            continue
        owner = place.model
        place = place.below(str(key))
        if isinstance(key, int) and not isinstance(data, list) and not (isinstance(data, Mapping) and key in data):
            continue  # one value that stands for a list of it
        if isinstance(data, Mapping):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int):
            data = data[key] if key < len(data) else None
        path.append(key)
    return path, owner


@dataclass(frozen=True)
class Place:
    """The declared type at a place of the configuration."""

    annotation: Any
    metadata: tuple[Any, ...] = ()

    @classmethod
    def of(cls, annotation: Any, metadata: Sequence[Any] = ()) -> Place:
        """The place of a field, from its annotation and what pydantic took out of it."""
        if get_origin(annotation) is Annotated:
            annotation, *inner = get_args(annotation)
            metadata = [*inner, *metadata]
        return cls(annotation, tuple(metadata))

    @property
    def models(self) -> list[type[BaseModel]]:
        """The specifications that may stand here."""
        union = get_origin(self.annotation) in (Union, UnionType)
        candidates = get_args(self.annotation) if union else (self.annotation,)
        return [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]

    @property
    def model(self) -> type[BaseModel] | None:
        """The one specification that may stand here; None when there are several, or none."""
        return self.models[0] if len(self.models) == 1 else None

    def choose(self, key: str | int) -> Place | None:
        """The kind that `key` is the tag of, if it is one."""
        for family in self.metadata:
            if isinstance(family, Family) and key in family:
                return Place(family[str(key)].spec)
        if len(self.models) > 1:
            for model in self.models:
                if "type" in model.model_fields and model.model_fields["type"].default == key:
                    return Place(model)
        return None

    def below(self, key: str) -> Place:
        """The place of a key, or of an item."""
        if self.model is not None:
            field = self.model.model_fields.get(key)
            return Place.of(field.annotation, field.metadata) if field else Place(None)
        arguments = [a for a in get_args(self.annotation) if a is not Ellipsis]
        return Place.of(arguments[-1]) if arguments else Place(None)
