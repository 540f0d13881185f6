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
    "configurations. clear removes it; the next ingest computes the vectors again. stats also counts what chat models\n"
    "wrote about texts (replies.sqlite3); clear leaves that alone, since it may have been paid for."
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
    replies = _replies(config.state_dir)
    if config.output == "json":
        sys.stdout.write(json.dumps({"embedding_cache": result, "replies": replies}, indent=2) + "\n")
        return 0
    if not path.exists():
        lines = [f"embedding cache: empty ({path} does not exist)"]
    elif "removed" in result:
        lines = [f"embedding cache: {result['removed']:,} vectors removed from {path}"]
    else:
        entries = sum(stats.entries.values())
        limit = config.embedding_cache.max_mb
        lines = [f"embedding cache: {entries:,} vectors, {stats.bytes / 2**20:.1f} of {limit:,} MB, {path}"]
        lines += [f"  model {model}: {count:,}" for model, count in stats.entries.items()]
    if replies["entries"]:
        lines.append(f"replies of chat models: {replies['entries']:,}, {replies['file']}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _replies(state_dir: str) -> dict[str, object]:
    """What chat models wrote about texts."""
    from confrag.runtime.reply_cache import ReplyCache, reply_file

    path = reply_file(state_dir)
    found: dict[str, object] = {"file": str(path), "entries": 0, "bytes": 0}
    if path.exists():
        cache = ReplyCache(path)
        found.update(entries=len(cache), bytes=path.stat().st_size)
        cache.close()
    return found
