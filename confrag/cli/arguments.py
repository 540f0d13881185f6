"""What stands behind a verb: Hydra's flags, and overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from confrag.errors import UserError

__all__ = ["Arguments", "parse", "wants_json"]

_WITH_VALUE = {
    "--config-dir": "--config-dir",
    "-cd": "--config-dir",
    "--cfg": "--cfg",
    "-c": "--cfg",
    "--package": "--package",
    "-p": "--package",
}
_ALONE = {"-m": "--multirun", "--multirun": "--multirun", "--resolve": "--resolve", "--hydra-help": "--hydra-help"}
_INFO = ("--info", "-i")


@dataclass
class Arguments:
    """A command line, sorted.

    Attributes:
        overrides: ``key=value`` and the like, in their order.
        config_dir: the user's own folder of configurations.
        multirun: a sweep.
        hydra: flags that only print a view of the configuration; Hydra answers these.
    """

    overrides: list[str] = field(default_factory=list)
    config_dir: str | None = None
    multirun: bool = False
    hydra: list[str] = field(default_factory=list)


def parse(argv: Sequence[str]) -> Arguments:
    """Sort a command line.

    Raises:
        UserError: a flag that does not exist, or lacks its value.
    """
    result = Arguments()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if flag in _WITH_VALUE:
            if not equals:
                if not rest:
                    raise UserError(f"{word}: a value is missing")
                value = rest.pop(0)
            if _WITH_VALUE[flag] == "--config-dir":
                result.config_dir = value
            else:
                result.hydra += [_WITH_VALUE[flag], value]
        elif flag in _INFO:
            result.hydra += ["--info", value or (rest.pop(0) if rest and "=" not in rest[0] else "all")]
        elif word in _ALONE:
            if _ALONE[word] == "--multirun":
                result.multirun = True
            else:
                result.hydra.append(_ALONE[word])
        elif word.startswith("-"):
            raise UserError(f"there is no flag '{word}'; known: --config-dir DIR, -m, --cfg job, --info, --help")
        else:
            result.overrides.append(word)
    return result


def wants_json(words: Sequence[str]) -> bool:
    """Whether ``output=json`` is among them, for verbs without a configuration.

    Raises:
        UserError: an output that there is not.
    """
    chosen = [value for key, _, value in (word.partition("=") for word in words) if key.lstrip("+") == "output"]
    for value in chosen:
        if value not in ("text", "json"):
            raise UserError(f"output = {value!r}: must be one of: text, json")
    return chosen[-1:] == ["json"]
