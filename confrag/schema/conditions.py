"""`when`: conditions on a question, declared."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from confrag.schema.base import Count, Name, Spec, Text


class LengthSpec(Spec):
    """Bounds of a length, both included."""

    min: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    max: Count | None = None

    @model_validator(mode="after")
    def _in_order(self) -> LengthSpec:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max ({self.max}) must not be below min ({self.min})")
        return self


class ConditionSpec(Spec):
    """What must hold of a question; all that is given must hold together."""

    chars: LengthSpec | None = None
    """Length of the question in characters."""
    words: LengthSpec | None = None
    """Length of the question in words; each Chinese character counts as one."""
    language: Literal["zh", "en"] | None = None
    """``zh``: at least a third of the letters are Chinese characters; ``en``: fewer."""
    pattern: Annotated[Text, Field(min_length=1, max_length=1000)] | None = None
    """A regular expression that is found in the question."""
    filtered_by: tuple[Name, ...] | None = None
    """Names of metadata; the question comes with a filter on each of them."""

    @model_validator(mode="after")
    def _checked(self) -> ConditionSpec:
        if not self.model_fields_set:
            raise ValueError(f"names no condition; known: {', '.join(type(self).model_fields)}")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"pattern is no regular expression: {error}") from None
        return self
