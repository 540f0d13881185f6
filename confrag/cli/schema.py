"""Verb `schema`: a JSON Schema for editors."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from confrag.cli.arguments import parse
from confrag.config.json_schema import GLOBAL, editor_schema
from confrag.config.sources import user_config_dir
from confrag.errors import UserError

__all__ = ["USAGE", "schema"]

USAGE = {
    "schema": "usage: confrag schema [PLACE] [--config-dir DIR]\n\n"
    "Prints a JSON Schema by which an editor completes, explains and checks a YAML file: of a preset, and of each\n"
    "file that begins with '# @package _global_'; with PLACE, of a file whose keys belong there (node_groups,\n"
    "store_conf, models.llm: the name of its folder, or what its first line says). Kinds of installed plugins are\n"
    "known.\n\n"
    "examples:\n"
    "  confrag schema > preset.schema.json\n"
    "  confrag schema node_groups > node_groups.schema.json\n\n"
    "A comment in the YAML file tells the editor (VS Code with the extension YAML, Neovim, Emacs, ...):\n"
    "  # yaml-language-server: $schema=../preset.schema.json"
}


def schema(argv: Sequence[str]) -> int:
    """Print the schema of a preset, or of what belongs at a place."""
    arguments = parse(argv)
    words = arguments.overrides
    if len(words) > 1 or any("=" in word for word in words) or arguments.hydra or arguments.multirun:
        raise UserError(f"'schema {' '.join(argv)}' is not understood\n{USAGE['schema']}")
    place = words[0] if words else GLOBAL
    found = editor_schema(place, user_config_dir(arguments.config_dir))
    sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return 0
