"""The base of every specification, and the families of kinds that a configuration chooses from by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema

from confrag.errors import UserError, nearest

Text = Annotated[str, StringConstraints(strict=True)]
EnvName = Annotated[str, StringConstraints(strict=True, max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable: what is secret stands there, never in a configuration."""
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
TopK = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]


class Spec(BaseModel):
    """A part of a configuration: frozen, and closed to keys that it does not know."""

    # The schema of a family is known only once the registry has filled it, so building waits for the first use.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """One choice of a family.

    Attributes:
        name: what a configuration writes.
        spec: the keys that go with it.
        builder: ``module:function``, imported only when the kind is built; it takes the keys as flat arguments.
        summary: one line for ``confrag ls``.
    """

    name: str
    spec: type[Spec]
    builder: str
    summary: str


class Family:
    """The kinds that one place of a configuration may name, told apart by the key `tag`.

    Put into ``Annotated[Spec, FAMILY]``, it makes pydantic validate the place as the union of its kinds.
    """

    def __init__(self, name: str, tag: str = "kind") -> None:
        self.name = name
        self.tag = tag
        self._kinds: dict[str, Kind] = {}

    def add(self, kind: Kind) -> None:
        """Add a kind. Raises UserError when the name is taken by another one."""
        if self._kinds.get(kind.name, kind) != kind:
            raise UserError(f"{self.name} '{kind.name}' is registered already")
        self._kinds[kind.name] = kind

    def __getitem__(self, name: str) -> Kind:
        if name not in self._kinds:
            hint = nearest(name, self._kinds)
            raise UserError(
                f"unknown {self.name} '{name}'; known: {', '.join(self.names)}"
                + (f". Did you mean '{hint}'?" if hint else "")
            )
        return self._kinds[name]

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the kinds, in the order of their registration."""
        return tuple(self._kinds)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {kind.name: handler.generate_schema(kind.spec) for kind in self}
        return core_schema.tagged_union_schema(choices, discriminator=self.tag)
