"""Links to files beside docs/ lead to the repository: the site has pages only. A hook of MkDocs."""

from __future__ import annotations

import re
from typing import Any

REPOSITORY = "https://github.com/confrag/confrag/blob/main/"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrite ``](../examples/...)`` and ``](benchmarks/...)``, which are not part of the site."""
    markdown = re.sub(r"\]\((?:\.\./)+((?:examples|conf|tests|confrag|README|CHANGELOG|LICENSE)[^)]*)\)", _link, markdown)
    return re.sub(r"\]\((benchmarks/[^)]*)\)", lambda found: f"]({REPOSITORY}docs/{found[1]})", markdown)


def _link(found: re.Match[str]) -> str:
    return f"]({REPOSITORY}{found[1]})"
