"""Jinja2 templates in a sandbox: what is wrong with one, and filling it in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from confrag.errors import UserError, nearest

if TYPE_CHECKING:
    from jinja2 import Template as Compiled
    from jinja2.sandbox import SandboxedEnvironment

__all__ = ["Template", "faults", "names"]

_FILE = "<template>"
_MISSING = "; what may be missing needs a default: {{ passage.metadata.page | default('') }}"


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined  # validation alone should not pay for what it may not need
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.globals = {name: made.globals[name] for name in ("namespace", "range")}
    return made


@lru_cache(maxsize=256)
def _compiled(source: str) -> Compiled:
    """Compiled once: a template is filled in for each check and each question, and a sweep checks it for each job."""
    return _environment().from_string(source)


@lru_cache(maxsize=256)
def _asked_for(source: str) -> Mapping[str, tuple[int, ...]]:
    """Each name from outside that a template uses, and the lines that it stands in."""
    from jinja2 import meta, nodes

    tree = _environment().parse(source)
    outside = meta.find_undeclared_variables(tree)
    found: dict[str, tuple[int, ...]] = {}
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in outside:
            found[name.name] = (*found.get(name.name, ()), name.lineno)
    return found


class Template:
    """A template that was found to be good.

    Args:
        place: where it stands in the configuration, for errors.
        source: its text.
    """

    def __init__(self, place: str, source: str) -> None:
        self._place = place
        self._template = _compiled(source)

    def __call__(self, values: Mapping[str, Any]) -> str:
        """The text with the values in their places, and no white space around it.

        Raises:
            UserError: the template makes something of these values that cannot be done.
        """
        try:
            return self._template.render(values).strip()
        except Exception as error:  # whatever it does
            raise UserError(f"{self._place}: {_described(error)}") from error


def names(source: str) -> set[str]:
    """The names from outside that a template uses; none when it cannot be read."""
    from jinja2 import TemplateError

    try:
        return set(_asked_for(source))
    except TemplateError:
        return set()


def faults(source: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a template: a message with the line, and the nearest name.

    Args:
        source: the template.
        values: an example of each name that it may use; it is filled in with them.
    """
    from jinja2 import TemplateError

    try:
        unknown = {
            name: lines
            for name, lines in _asked_for(source).items()
            if name not in values and name not in _environment().globals
        }
        known = ", ".join(sorted(values))
        for name, lines in unknown.items():
            for line in lines:
                yield f"line {line}: there is no '{name}' here; known: {known}", nearest(name, values)
        if not unknown:
            _compiled(source).render(values)
    except TemplateError as error:
        yield _described(error), None
    except Exception as error:  # noqa: BLE001 - whatever it does
        yield _described(error), None


def _described(error: Exception) -> str:
    from jinja2 import UndefinedError

    text = " ".join(str(error).split()) or type(error).__name__
    line = _line(error)
    return f"{f'line {line}: ' if line else ''}{text}{_MISSING if isinstance(error, UndefinedError) else ''}"


def _line(error: Exception) -> int | None:
    """The line of the template that an error comes from."""
    from jinja2 import TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == _FILE]
    return lines[-1] if lines else None
