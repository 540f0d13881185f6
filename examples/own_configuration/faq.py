"""What the configuration may say about the transform `faq`; light, since every command may import it."""

from __future__ import annotations

from typing import Literal

import confrag
from confrag.schema.nodes import TransformSpec


class FaqSpec(TransformSpec):
    """An entry of an FAQ, ``**Q:** ...`` and ``**A:** ...``, is one node; other documents stay whole."""

    kind: Literal["faq"]
    keep_question: bool = True
    """Leave the question before its answer, where it helps to find it."""


def register() -> None:
    """Make the transform known; its builder is named as a string and imported when an engine starts."""
    confrag.register("transforms", "faq", FaqSpec, "faq_transform:build")
