"""Verbs that look at a configuration without running it: `validate`, `show`, `graph`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

# Looking for plugins, pydantic reads the metadata of every installed package; these verbs are over before that.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from confrag.cli.arguments import parse
from confrag.config import Composed, Config, compose
from confrag.config.evaluation_checks import questions
from confrag.config.overrides import split_queries
from confrag.config.validate import validate as check
from confrag.errors import UserError

__all__ = ["USAGE", "graph", "show", "validate"]

USAGE = {
    "validate": "usage: confrag validate [conf=NAME] [override ...]\n\n"
    "Checks keys, types and references, that models and paths exist and that environment variables are set.\n"
    "Nothing heavy is imported and nothing is written. Exit code 2 when something is wrong.",
    "show": "usage: confrag show [conf=NAME] [where=true] [output=json] [override ...]\n\n"
    "Prints the configuration as it would run. Keys are shown by the name of their environment variable.",
    "graph": "usage: confrag graph [conf=NAME] [format=text|mermaid|json] [override ...]\n\n"
    "Draws what the configuration compiles to.",
}


def _load(argv: Sequence[str], verb: str) -> tuple[Composed, Config | None]:
    """Compose and validate; None when Hydra has answered a question about the configuration itself."""
    arguments = parse(argv)
    if arguments.multirun:
        raise UserError(f"{verb} looks at one configuration; -m belongs to 'confrag run'")
    _, overrides = split_queries(arguments.overrides)
    if arguments.hydra:
        from confrag.cli.launch import hydra_view

        hydra_view(arguments, overrides)
        return Composed(None, {}), None
    composed = compose(overrides, arguments.config_dir)
    return composed, check(composed, *((questions,) if verb == "validate" else ()))


def validate(argv: Sequence[str]) -> int:
    """Report every error of a configuration."""
    composed, config = _load(argv, "validate")
    if config is None:
        return 0
    if config.output == "json":
        sys.stdout.write(json.dumps({"conf": composed.name, "valid": True}) + "\n")
    else:
        sys.stdout.write(f"configuration '{composed.name or 'custom'}' is valid\n")
    return 0


def show(argv: Sequence[str]) -> int:
    """Print the resolved configuration."""
    import yaml

    composed, config = _load(argv, "show")
    if config is None:
        return 0
    options = ("query", "queries_file", "output", "format", "where", "verbose", "debug", "progress")
    data = {key: value for key, value in composed.data.items() if key not in options}
    if config.output == "json":
        sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    elif config.where:
        from confrag.config.origins import origins

        found = origins(composed, data)
        width = max(len(f"{path}: {value}") for path, value, _ in found)
        for path, value, origin in found:
            sys.stdout.write(f"{f'{path}: {value}':<{min(width, 72)}}  # {origin}\n")
    else:
        sys.stdout.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))
    return 0


def graph(argv: Sequence[str]) -> int:
    """Draw the compiled plan."""
    from confrag.plan import compile_plan, draw

    composed, config = _load(argv, "graph")
    if config is None:
        return 0
    form = "json" if config.output == "json" else config.format
    sys.stdout.write(draw(compile_plan(config, composed.name), form) + "\n")
    return 0
