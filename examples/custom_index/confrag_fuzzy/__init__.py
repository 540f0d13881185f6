"""An index for confrag that finds misspelt names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

import confrag
from confrag.schema.indices import IndexSpec


class FuzzySpec(IndexSpec):
    """Names that have sequences of letters in common with the question, misspelt or not."""

    kind: Literal["fuzzy"]
    letters: Annotated[int, Field(strict=True, ge=2, le=6)] = 3
    """Length of the sequences that are compared."""


def register() -> None:
    """What the entry point names. The index itself is imported when one is built."""
    confrag.register("indices", "fuzzy", FuzzySpec, "confrag_fuzzy.index:FuzzyIndex")
