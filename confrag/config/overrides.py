"""From what a user types behind a verb to overrides that Hydra's grammar accepts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from confrag.errors import UserError
from confrag.schema.filters import WORDS

__all__ = ["assignments", "normalize", "quote", "split_queries", "unquote"]

_ASSIGNMENT = re.compile(r"(?P<prefix>\+\+|\+|~)?(?P<key>[^=\s]+)=(?P<value>.*)", re.DOTALL)


def quote(text: str) -> str:
    """Any text as a quoted value of Hydra's grammar that comes out of composition as it was.

    Two layers have to be passed: Hydra's quotes, in which only backslashes before a quote count, and OmegaConf's
    interpolation, in which only backslashes before ``${`` count (a trailing run of them would meet what follows).
    ``???`` alone, which OmegaConf takes for a missing value, comes out of a resolver.
    """
    if text == "???":
        return "'${oc.decode:\"???\"}'"
    safe = re.sub(r"(\\*)\$\{", lambda m: "\\" * (2 * len(m[1]) + 1) + "${", text)
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), safe) + "'"


def unquote(text: str) -> str:
    """A text with the quotes taken off that Hydra's grammar would have needed; other text as it is."""
    mark = text[:1]
    if mark not in ("'", '"') or not re.fullmatch(rf"{mark}(?:[^\\{mark}]|\\.)*{mark}", text, re.DOTALL):
        return text
    # As in Hydra, a backslash means something only in front of a quote.
    return re.sub(rf"(\\+)(?={mark})", lambda m: m[1][: len(m[1]) // 2], text[1:])[:-1]


def split_queries(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the questions out of a command line.

    ``query=`` is text, whatever it holds. It is several questions when it is given several times, or when it is a
    list in which each question is quoted: ``query='["first", "second"]'``.

    Returns:
        The questions, and the other arguments.
    """
    queries: list[str] = []
    others: list[str] = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key.lstrip("+") == "query" and "=" in argument:
            queries += _questions(value)
        else:
            others.append(argument)
    return queries, others


def _questions(value: str) -> list[str]:
    if re.fullmatch(r"""\s*\[\s*(['"]).*\1\s*\]\s*""", value, re.DOTALL):
        parsed = None
        try:
            parsed = json.loads(value)
        except ValueError:
            with suppress(HydraException):
                parsed = OverridesParser.create().parse_override(f"query={value}").value()
        if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed):
            return [str(item) for item in parsed]
    return [unquote(value)]


def _literal(value: str) -> object:
    """A dictionary or list as JSON or Python writes it; None for anything else."""
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = read(value.strip())
            return found if isinstance(found, Mapping | list) else None
    return None


def _encoded(value: object) -> str:
    """Plain data in Hydra's grammar, whose dictionaries have bare keys: words stand for the operators of filters."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{WORDS.get(key, key)}:{_encoded(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_encoded, value)) + "]"
    if isinstance(value, str):
        return quote(value)
    return "null" if value is None else str(value).lower()


def assignments(overrides: Sequence[str]) -> Iterator[tuple[str, object]]:
    """(path, value) of each leaf that overrides in Hydra's grammar set."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if not override.is_delete():
            yield from leaves(override.value(), override.key_or_group)


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of each leaf of plain data; an empty dictionary is one."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from leaves(child, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, value


def normalize(arguments: Sequence[str], groups: Collection[str]) -> list[str]:
    """Make the overrides of a user acceptable to Hydra.

    ``key=value`` becomes ``++key=value``, so that a key which the YAML leaves out can be set; whether it exists is
    for the schema to say, together with everything else that is wrong. A value that Hydra's grammar cannot read is a
    dictionary or list of Python's or JSON's (``store_conf={'type': 'map'}``), or else text (``corpus.path=文档``).

    Raises:
        UserError: an argument that is no assignment.
    """
    parser = OverridesParser.create()
    result = []
    for argument in arguments:
        match = _ASSIGNMENT.fullmatch(argument)
        if not match and not re.fullmatch(r"~[\w./@-]+", argument):
            raise UserError(f"'{argument}' is not understood: expected key=value (or group=option, or ~key)")
        if match:
            prefix, key, value = match["prefix"] or "", match["key"], match["value"]
            chooses = key in groups and not value.lstrip().startswith("{")
            if chooses and value == "null":
                raise UserError(f"'{argument}' is not understood: leave a group out with ~{key}")
            if not prefix and not chooses and not re.search(r"[@/:]", key):
                prefix = "++"
            argument = f"{prefix}{key}={value}"
            try:
                parser.parse_override(argument)
            except HydraException:
                literal = _literal(value)
                argument = f"{prefix}{key}={quote(value) if literal is None else _encoded(literal)}"
        try:
            parser.parse_override(argument)
        except HydraException as error:
            raise UserError(f"'{argument}' is not understood: {str(error).splitlines()[0]}") from None
        result.append(argument)
    return result
