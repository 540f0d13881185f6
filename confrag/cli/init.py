"""Verb `init`: a starter project."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from confrag.cli.arguments import parse
from confrag.config.json_schema import editor_schema
from confrag.errors import UserError

__all__ = ["USAGE", "init"]

USAGE = {
    "init": "usage: confrag init DIR\n\n"
    "Writes a project that runs as it is: your own preset in DIR/conf, a small corpus in DIR/docs, questions about it\n"
    "in DIR/questions, schemas in DIR/.schema by which an editor completes and checks, and a README that leads from\n"
    "there to documents and questions of your own.\n"
    "DIR must not exist, or be empty."
}


_SCHEMAS = {"preset": "_global_", "node_groups": "node_groups"}
"""File below .schema -> where the keys belong that it describes; the files of the starter name them."""


def init(argv: Sequence[str]) -> int:
    """Copy the starter project."""
    words = parse(argv).overrides
    if len(words) != 1 or "=" in words[0]:
        raise UserError(f"'{' '.join(['init', *words])}' is not understood\n{USAGE['init']}")
    target = Path(words[0]).expanduser()
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UserError(f"{target} exists and is not an empty folder; name another one")
    source = Path(str(files("confrag.starter")))
    try:
        shutil.copytree(
            source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__init__.py", "__pycache__", "*.pyc")
        )
        (target / ".schema").mkdir()
        for name, package in _SCHEMAS.items():
            schema = json.dumps(editor_schema(package), ensure_ascii=False)
            (target / ".schema" / f"{name}.json").write_text(schema + "\n", "utf-8")
    except OSError as error:
        # Half a project would be in the way of the next try.
        for entry in target.iterdir() if target.is_dir() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise UserError(f"{target}: cannot be written: {_reason(error)}") from None
    sys.stdout.write(
        f"{target} is ready. Try:\n\n"
        f"  cd {shlex.quote(str(target))}\n"
        '  confrag run --config-dir . conf=handbook query="When does the workshop open?"\n'
        "  confrag eval --config-dir . -m conf=handbook recall=dense,lexical,hybrid\n\n"
        f"{target / 'README.md'} says how to put your own documents and questions in their place.\n"
    )
    return 0


def _reason(error: OSError) -> str:
    """Why it failed; of a tree that was copied, why the first file of it did."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][0][2]).partition(":")[0]
    return error.strerror or str(error)
