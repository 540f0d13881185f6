"""What the docstrings below the fields of a specification say; pydantic's own way reads them at every start."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

from confrag.schema.base import Spec

__all__ = ["meaning"]


def meaning(spec: type[Spec], field: str) -> str:
    """The docstring below a field, in one line, looked for along the base classes; empty where there is none."""
    for base in spec.__mro__:
        if issubclass(base, Spec) and field in (texts := _below_fields(base)):
            return " ".join(texts[field].split()).replace("``", "`")
    return ""


@cache
def _below_fields(spec: type[Spec]) -> dict[str, str]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(spec))).body[0]
    except (OSError, TypeError):
        # A plugin's class without a source.
        return {}
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: text.value.value
        for field, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
