"""Verb `cache`: what was computed once, and clearing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from confrag.cli.arguments import parse
from confrag.config import compose
from confrag.config.validate import validate
from confrag.errors import UserError

__all__ = ["USAGE", "cache"]

USAGE = {
    "cache": "usage: confrag cache stats [conf=NAME] [state_dir=DIR] [output=json]\n"
    "       confrag cache clear [conf=NAME] [state_dir=DIR] [output=json]\n\n"
    "The embedding cache below state_dir holds the vector of each text that was embedded, for all stores and\n"
    "configurations. clear removes it; the next ingest computes the vectors again."
}


def cache(argv: Sequence[str]) -> int:
    """Dispatch to `stats` or `clear`."""
    arguments = parse(argv)
    actions = [word for word in arguments.overrides if "=" not in word and not word.startswith("~")]
    if actions not in (["stats"], ["clear"]) or arguments.multirun or arguments.hydra:
        raise UserError(f"'cache {' '.join(argv)}' is not understood\n{USAGE['cache']}")
    overrides = [word for word in arguments.overrides if word not in actions]
    config = validate(compose(overrides, arguments.config_dir))
    from confrag.runtime.embedding_cache import EmbeddingCache, cache_file

    path = cache_file(config.state_dir)
    result: dict[str, object] = {"file": str(path), "models": {}, "bytes": 0}
    if path.exists():
        opened = EmbeddingCache(path, config.embedding_cache.max_mb * 2**20)
        try:
            if actions == ["clear"]:
                result["removed"] = opened.clear()
            stats = opened.stats()
            result.update(models=stats.entries, bytes=stats.bytes)
        finally:
            opened.close()
    if config.output == "json":
        sys.stdout.write(json.dumps({"embedding_cache": result}, indent=2) + "\n")
        return 0
    if not path.exists():
        sys.stdout.write(f"embedding cache: empty ({path} does not exist)\n")
        return 0
    if "removed" in result:
        sys.stdout.write(f"embedding cache: {result['removed']:,} vectors removed from {path}\n")
        return 0
    entries = sum(stats.entries.values())
    limit = config.embedding_cache.max_mb
    sys.stdout.write(f"embedding cache: {entries:,} vectors, {stats.bytes / 2**20:.1f} of {limit:,} MB, {path}\n")
    for model, count in stats.entries.items():
        sys.stdout.write(f"  model {model}: {count:,}\n")
    return 0
