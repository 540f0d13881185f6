"""Which questions are the same question, asked of the same thing."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from typing import Any

from confrag.plan.model import canonical

__all__ = ["key_of", "normalized", "space_of"]


def normalized(question: str, rules: Mapping[str, Any]) -> str:
    """A question as it is compared (see `confrag.schema.cache.NormalizeSpec`)."""
    if rules["width"]:
        question = unicodedata.normalize("NFKC", question)
    if rules["case"]:
        question = question.casefold()
    return " ".join(question.split()) if rules["space"] else question


def space_of(*parts: Any) -> str:
    """A digest of everything that an answer depends on, but for the question; 32 hexadecimal digits."""
    return hashlib.sha256(canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def key_of(space: str, question: str) -> str:
    """The key of a question, 48 hexadecimal digits."""
    return hashlib.sha256(f"{space}\0{question}".encode("utf-8", "surrogatepass")).hexdigest()[:48]
