"""Links to files beside docs/ lead to the repository: the site has pages only. A hook of MkDocs."""

from __future__ import annotations

import re
from typing import Any

REPOSITORY = "https://github.com/confrag/confrag/blob/main/"
_BESIDE = re.compile(r"\]\((?:\.\./)+((?:examples|conf|tests|confrag|README|CHANGELOG|LICENSE)[^)]*)\)")
_SCRIPT = re.compile(r"\]\((benchmarks/[^)]*)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrite ``](../examples/...)`` and ``](benchmarks/...)``, which are not part of the site."""
    return _SCRIPT.sub(rf"]({REPOSITORY}docs/\1)", _BESIDE.sub(rf"]({REPOSITORY}\1)", markdown))
