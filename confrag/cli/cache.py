"""Verb `cache`: what was computed once, and clearing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confrag.cli.arguments import parse
from confrag.config import Config, compose
from confrag.config.validate import validate
from confrag.errors import UserError

__all__ = ["USAGE", "cache"]

USAGE = {
    "cache": "usage: confrag cache stats [conf=NAME] [state_dir=DIR] [output=json] [override ...]\n"
    "       confrag cache clear [answers|embeddings] [conf=NAME] [state_dir=DIR] [output=json] [override ...]\n\n"
    "answers     what cache=exact or cache=semantic keeps: in a file below state_dir, or on the Redis server that the\n"
    "            configuration names; what is kept in memory belongs to its process and ends with it\n"
    "embeddings  the vector of each text that was embedded, for all stores and configurations\n\n"
    "clear removes both, or the one that is named; they fill again. stats also counts what chat models wrote about\n"
    "texts (replies.sqlite3); clear leaves that alone, since it may have been paid for."
}
_PARTS = ("answers", "embeddings")


def cache(argv: Sequence[str]) -> int:
    """Dispatch to `stats` or `clear`."""
    arguments = parse(argv)
    words = [word for word in arguments.overrides if "=" not in word and not word.startswith("~")]
    action, parts = (words[0], words[1:]) if words else ("", [])
    understood = (action == "stats" and not parts) or (action == "clear" and len(parts) < 2 and set(parts) <= {*_PARTS})
    if not understood or arguments.multirun or arguments.hydra:
        raise UserError(f"'{' '.join(['cache', *argv])}' is not understood\n{USAGE['cache']}")
    overrides = [word for word in arguments.overrides if word not in words]
    composed = compose(overrides, arguments.config_dir)
    config = validate(composed)
    clear = set(parts or _PARTS) if action == "clear" else set()
    found = {
        "answers": _answers(config, composed.name, clear="answers" in clear),
        "embedding_cache": _embeddings(config, clear="embeddings" in clear),
        "replies": _replies(config.state_dir),
    }
    if config.output == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        lines = [*_answer_lines(found["answers"]), *_embedding_lines(found["embedding_cache"], config)]
        if replies := found["replies"]["entries"]:
            lines.append(f"replies of chat models: {replies:,}, {found['replies']['file']}")
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _answers(config: Config, name: str | None, *, clear: bool) -> dict[str, Any]:
    """What is kept of answers, in the place that the configuration names or the usual file."""
    from confrag.plan import compile_plan
    from confrag.registry import builder

    declared = compile_plan(config, name).cache
    state_dir = Path(config.state_dir).expanduser().absolute()
    kind = declared.backend if declared else "disk"
    if kind == "memory":
        return {"backend": "memory", "entries": 0}
    params = declared.backend_params.thaw() if declared else {"path": None}
    placed = params.get("path")
    file = Path(placed).expanduser() if placed else state_dir / "answers.sqlite3"
    if kind == "disk" and not file.exists():
        return {"backend": "disk", "file": str(file), "entries": 0}
    backend = builder("cache_backends", kind)(state_dir, max_entries=10**9, ttl_s=None, **params)
    if kind == "redis":
        from confrag.build.cache.redis import verify

        verify(**params)
    try:
        removed = {"removed": backend.clear()} if clear else {}
        holding, totals = backend.holding(), backend.totals()
    finally:
        backend.close()
    place = {"file": str(file)} if kind == "disk" else {}
    held = {"entries": holding.entries, "bytes": holding.bytes, "evictions": holding.evictions}
    return {"backend": kind, **place, **held, **totals, **removed}


def _answer_lines(found: dict[str, Any]) -> list[str]:
    if found["backend"] == "memory":
        return ["answers: in memory, for as long as a process runs; its JSON (run output=json) has the figures"]
    where = found.get("file", "on the Redis server")
    if "removed" in found:
        return [f"answers: {found['removed']:,} removed, {where}"]
    if not found["entries"] and not found.get("hits") and not found.get("misses"):
        return [f"answers: none, {where}"]
    counts = ", ".join(f"{found.get(key, 0):,.0f} {key}" for key in ("hits", "misses", "evictions"))
    saved = f"{found.get('saved_s', 0):,.1f} s and {found.get('saved_tokens', 0):,.0f} tokens saved"
    return [f"answers: {found['entries']:,} in {found['bytes'] / 2**20:.1f} MB, {where}", f"  {counts}; {saved}"]


def _embeddings(config: Config, *, clear: bool) -> dict[str, Any]:
    """The vectors that are kept."""
    from confrag.runtime.embedding_cache import EmbeddingCache, cache_file

    path = cache_file(config.state_dir)
    result: dict[str, Any] = {"file": str(path), "models": {}, "bytes": 0}
    if path.exists():
        opened = EmbeddingCache(path, config.embedding_cache.max_mb * 2**20)
        try:
            if clear:
                result["removed"] = opened.clear()
            stats = opened.stats()
            result.update(models=stats.entries, bytes=stats.bytes)
        finally:
            opened.close()
    return result


def _embedding_lines(found: dict[str, Any], config: Config) -> list[str]:
    if "removed" in found:
        return [f"embedding cache: {found['removed']:,} vectors removed from {found['file']}"]
    if not found["bytes"]:
        return [f"embedding cache: empty ({found['file']} does not exist)"]
    entries, size, limit = sum(found["models"].values()), found["bytes"] / 2**20, config.embedding_cache.max_mb
    lines = [f"embedding cache: {entries:,} vectors, {size:.1f} of {limit:,} MB, {found['file']}"]
    return lines + [f"  model {model}: {count:,}" for model, count in found["models"].items()]


def _replies(state_dir: str) -> dict[str, Any]:
    """What chat models wrote about texts."""
    from confrag.runtime.reply_cache import ReplyCache, reply_file

    path = reply_file(state_dir)
    found: dict[str, Any] = {"file": str(path), "entries": 0, "bytes": 0}
    if path.exists():
        opened = ReplyCache(path)
        found.update(entries=len(opened), bytes=path.stat().st_size)
        opened.close()
    return found
