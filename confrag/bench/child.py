"""One process of a bench: ``python -m confrag.bench.child MODULE:FUNCTION`` with a job, as JSON, on standard input.

The result goes to standard output as JSON. This module imports next to nothing: what a bench times starts here.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from confrag.errors import ConfragError

__all__ = ["main"]


def main() -> int:
    """Run the function that the command line names; returns the exit code."""
    # What libraries print must not get between the result and its reader.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module, _, name = sys.argv[1].partition(":")
    try:
        json.dump(getattr(import_module(module), name)(json.load(sys.stdin)), result)
    except ConfragError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    result.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
