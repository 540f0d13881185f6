"""From what a user types behind a verb to overrides that Hydra's grammar accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from confrag.errors import UserError

__all__ = ["normalize", "quote", "split_queries", "unquote"]

_ASSIGNMENT = re.compile(r"(?P<prefix>\+\+|\+|~)?(?P<key>[^=\s]+)=(?P<value>.*)", re.DOTALL)


def quote(text: str) -> str:
    """Any text as a quoted value of Hydra's grammar that comes out of composition as it was.

    Two layers have to be passed: Hydra's quotes, in which only backslashes before a quote count, and OmegaConf's
    interpolation, in which only backslashes before ``${`` count (a trailing run of them would meet what follows).
    """
    safe = re.sub(r"(\\*)\$\{", lambda m: "\\" * (2 * len(m[1]) + 1) + "${", text)
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), safe) + "'"


def unquote(text: str) -> str:
    """A text with the quotes taken off that Hydra's grammar would have needed; other text as it is."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        mark, inner = text[0], text[1:-1]
        if not re.search(rf"(?<!\\)(\\\\)*{mark}", inner):
            return re.sub(rf"\\(\\|{mark})", r"\1", inner)
    return text


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
        try:
            parsed = json.loads(value)
        except ValueError:
            try:
                parsed = OverridesParser.create().parse_override(f"query={value}").value()
            except HydraException:
                parsed = None
        if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed):
            return [str(item) for item in parsed]
    return [unquote(value)]


def normalize(arguments: Sequence[str], groups: Collection[str]) -> list[str]:
    """Make the overrides of a user acceptable to Hydra.

    ``key=value`` becomes ``++key=value``, so that a key which the YAML leaves out can be set; whether it exists is
    for the schema to say, together with everything else that is wrong. A value that Hydra's grammar cannot read
    (``corpus.path=文档``) is taken as text.

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
            chooses = key in groups and not value.startswith("{")
            if not prefix and not chooses and not re.search(r"[@/:]", key):
                prefix = "++"
            argument = f"{prefix}{key}={value}"
            try:
                parser.parse_override(argument)
            except HydraException:
                argument = f"{prefix}{key}={quote(value)}"
        try:
            parser.parse_override(argument)
        except HydraException as error:
            raise UserError(f"'{argument}' is not understood: {str(error).splitlines()[0]}") from None
        result.append(argument)
    return result
