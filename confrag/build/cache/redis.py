"""Cache backend `redis`: a Redis or Valkey server."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confrag.build.cache.backend import Entry, Holding, Vectors, decoded, encoded
from confrag.errors import MissingDependencyError, ServiceError, UserError

__all__ = ["Redis", "build", "verify"]

_SPACE_MS = 30 * 86_400_000


class Redis:
    """Entries on a server, which itself forgets those that are too old.

    Keys are ``PREFIX:entry:KEY`` (JSON), ``PREFIX:used`` (a sorted set of keys by time of use), ``PREFIX:space:SPACE``
    (a hash of keys to vectors), ``PREFIX:changes:SPACE`` (a counter) and ``PREFIX:totals`` (a hash).

    Args:
        url: with user and password, where there are such.
        prefix: of all keys.
        max_entries: how many are kept.
        ttl_s: seconds after which one is too old.
        timeout_s: of a call.
    """

    def __init__(self, url: str, prefix: str, max_entries: int, ttl_s: float | None, timeout_s: float) -> None:
        import redis

        self._prefix = prefix
        self._max = max_entries
        self._ttl_ms = None if ttl_s is None else max(1, math.ceil(ttl_s * 1000))
        # No pickles, and no answer to another's question: a connection that timed out is thrown away by the client.
        self._client: Any = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry_on_timeout=False
        )

    def _key(self, *parts: str) -> str:
        return ":".join((self._prefix, *parts))

    def _all(self, *parts: str) -> list[bytes]:
        """The keys that begin like this."""
        # Of a prefix that looks like a pattern, no other's keys.
        beginning = re.sub(r"([*?\[\]^\\-])", r"\\\1", self._key(*parts))
        return list(self._client.scan_iter(f"{beginning}*", count=1000))

    def get(self, key: str) -> Mapping[str, Any] | None:
        with self._client.pipeline(transaction=False) as calls:
            calls.get(self._key("entry", key))
            calls.zadd(self._key("used"), {key: time.time()}, xx=True)
            raw, _ = calls.execute()
        return None if raw is None else decoded(raw)

    def put(self, key: str, entry: Entry) -> None:
        value = encoded(entry.value)
        with self._client.pipeline(transaction=True) as calls:
            calls.set(self._key("entry", key), value, px=self._ttl_ms)
            calls.zadd(self._key("used"), {key: time.time()})
            if entry.vector is not None:
                calls.hset(self._key("space", entry.space), key, entry.vector)
                calls.incr(self._key("changes", entry.space))
                # A space is of no use any more when the corpus has changed, and nobody tells the server.
                for name in ("space", "changes"):
                    calls.pexpire(self._key(name, entry.space), self._ttl_ms or _SPACE_MS)
            calls.zcard(self._key("used"))
            count = calls.execute()[-1]
        if count > self._max:
            self._evict(count - self._max)

    def _evict(self, number: int) -> None:
        oldest = [name.decode() for name, _ in self._client.zpopmin(self._key("used"), number)]
        if oldest:
            gone = self._client.delete(*(self._key("entry", key) for key in oldest))
            if gone:
                self._client.hincrbyfloat(self._key("totals"), "evictions", gone)

    def remove(self, key: str) -> None:
        with self._client.pipeline(transaction=False) as calls:
            calls.delete(self._key("entry", key))
            calls.zrem(self._key("used"), key)
            calls.execute()

    def vectors(self, space: str, known: object) -> Vectors:
        token = self._client.get(self._key("changes", space))
        if token == known and token is not None:
            return Vectors(token, None)
        held = self._client.hgetall(self._key("space", space))
        return Vectors(token, {key.decode(): vector for key, vector in held.items()})

    def add(self, totals: Mapping[str, float]) -> None:
        with self._client.pipeline(transaction=False) as calls:
            for name, number in totals.items():
                calls.hincrbyfloat(self._key("totals"), name, number)
            calls.execute()

    def totals(self) -> dict[str, float]:
        held = self._client.hgetall(self._key("totals"))
        return {name.decode(): float(number) for name, number in held.items() if name != b"evictions"}

    def holding(self) -> Holding:
        keys = self._all("entry", "")
        with self._client.pipeline(transaction=False) as calls:
            for key in keys:
                calls.strlen(key)
            size = sum(calls.execute())
        return Holding(len(keys), size, int(float(self._client.hget(self._key("totals"), "evictions") or 0)))

    def clear(self) -> int:
        keys = self._all("")
        if keys:
            self._client.delete(*keys)
        return sum(key.startswith(self._key("entry", "").encode()) for key in keys)

    def ping(self) -> None:
        """Ask whether it is there; raises what the client raises."""
        self._client.ping()

    def close(self) -> None:
        self._client.close()


def build(
    state_dir: Path, *, max_entries: int, ttl_s: float | None, url_env: str, prefix: str, timeout_s: float
) -> Redis:
    """A server. It is not asked yet: one that does not answer is no reason not to start."""
    url = os.environ.get(url_env)
    if not url:
        raise UserError(f"cache.backend.url_env: the environment variable {url_env} is not set")
    try:
        return Redis(url, prefix, max_entries, ttl_s, timeout_s)
    except ImportError:
        raise MissingDependencyError("redis", 'pip install "confrag[redis]"', "cache.backend=redis") from None
    except ValueError:
        # The URL may hold a password: it is not shown.
        raise UserError(f"{url_env}: is no URL of a Redis server; write redis://HOST:6379/0") from None


def verify(*, url_env: str, prefix: str, timeout_s: float) -> None:
    """Ask the server whether it is there.

    Raises:
        UserError: there is no address, or none that can be one.
        ServiceError: it does not answer.
    """
    place = build(Path(), max_entries=1, ttl_s=None, url_env=url_env, prefix=prefix, timeout_s=timeout_s)
    from redis import RedisError

    try:
        place.ping()
    except RedisError as error:
        # It names host and port, and no password.
        reason = str(error).rstrip(".")
        raise ServiceError(
            f"the Redis server that {url_env} names does not answer: {reason}. Start it, or name another one there"
        ) from None
    finally:
        place.close()
