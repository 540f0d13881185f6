"""The command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    try:
        # Not above: an interrupt while that is being imported is to end quietly, too.
        from confrag.cli.dispatch import dispatch

        return dispatch(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        sys.stderr.write("confrag: interrupted\n")
        sys.stderr.flush()
        return 130
