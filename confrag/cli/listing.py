"""Verb `ls`: presets and groups with their options."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from confrag.cli.arguments import parse, wants_json
from confrag.config.sources import describe, group_names, options, user_config_dir
from confrag.errors import UserError

__all__ = ["USAGE", "ls"]

USAGE = {
    "ls": "usage: confrag ls [GROUP] [output=json] [--config-dir DIR]\n\n"
    "Lists the presets (conf=NAME) and, for each group, its options (group=OPTION)."
}


def ls(argv: Sequence[str]) -> int:
    """Print presets and options."""
    as_json = wants_json(argv)
    words = [word for word in argv if not word.startswith("output=")]
    arguments = parse(words)
    folder = user_config_dir(arguments.config_dir)
    known = ["conf", *(group for group in group_names(folder) if group != "conf")]
    for group in arguments.overrides:
        if group not in known:
            raise UserError(f"there is no group '{group}'; known: {', '.join(known)}")
    chosen = arguments.overrides or known
    table = {group: {name: describe(group, name, folder) for name in options(group, folder)} for group in chosen}
    if as_json:
        sys.stdout.write(json.dumps(table, ensure_ascii=False, indent=2) + "\n")
        return 0
    for group, entries in table.items():
        sys.stdout.write("presets (conf=NAME)\n" if group == "conf" else f"{group}=OPTION\n")
        width = max(map(len, entries), default=0)
        for name, summary in entries.items():
            sys.stdout.write(f"  {name:<{width}}  {summary}\n")
        sys.stdout.write("\n")
    return 0
