"""Who may do what: tokens, the name that a request comes to, the site that it comes from, and how often.

The rules go by method and path, so that a route that somebody adds is protected without a word: what is not known to
change nothing needs the write token.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, Literal
from urllib.parse import urlsplit

from confrag.errors import UserError
from confrag.schema.serve import ServeSpec
from confrag.serve.problems import ProblemError
from confrag.serve.rate import RateLimit

__all__ = ["Guard", "Tokens", "check_exposure", "is_loopback", "may_write", "request_id_of"]

Scope = MutableMapping[str, Any]
Headers = Mapping[bytes, bytes]
Role = Literal["read", "write"]

_OPEN = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json", "/api/about"})
_OPEN_BELOW = ("/web/", "/static-offline-docs/", "/lazyllm/assets/", "/lazyllm/static/")
_ASKING = frozenset({"/api/ask", "/api/retrieve", "/query_metadata"})
_ASKING_BELOW = ("/v1/",)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_IDS, _PROCESS = count(1), secrets.token_hex(6)
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


@dataclass(frozen=True)
class Tokens:
    """The tokens of the service; where one is set, everything that is not open to all needs one.

    Attributes:
        read: may ask. None: not set.
        write: may do everything.
    """

    read: str | None
    write: str | None

    @classmethod
    def of(cls, settings: ServeSpec) -> Tokens:
        """From the environment."""
        read, write = (os.environ.get(name, "").strip() for name in (settings.read_token_env, settings.write_token_env))
        return cls(read or None, write or None)

    @property
    def needed(self) -> bool:
        """Whether a request has to show one."""
        return bool(self.read or self.write)

    def role(self, headers: Headers) -> Role | None:
        """What the token of a request allows; None where it is missing or wrong."""
        if not self.needed:
            return "write"
        scheme, _, shown = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        # Both are compared, whatever the first one gives: the time tells nothing.
        reads, writes = (_same(shown.strip(), token) for token in (self.read, self.write))
        return "write" if writes else "read" if reads else None


def _same(shown: bytes, token: str | None) -> bool:
    return hmac.compare_digest(shown, (token or secrets.token_hex()).encode())


def is_loopback(host: str) -> bool:
    """Whether nobody outside of this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_exposure(settings: ServeSpec, tokens: Tokens) -> None:
    """Raises UserError when others would reach the service, and it asks for no token."""
    if is_loopback(settings.host) or tokens.needed:
        return
    raise UserError(
        f"serve.host = {settings.host!r}: other machines would reach the service, and it has no token. Make one for "
        f"those who may change documents, and one for those who may only ask:\n"
        f'  export {settings.write_token_env}=$(python -c "import secrets; print(secrets.token_urlsafe(32))")\n'
        f'  export {settings.read_token_env}=$(python -c "import secrets; print(secrets.token_urlsafe(32))")\n'
        "or stay with serve.host=127.0.0.1"
    )


class Guard:
    """Decides whether a request may pass."""

    def __init__(self, settings: ServeSpec, tokens: Tokens) -> None:
        self._tokens = tokens
        self._names = frozenset(name.lower() for name in ("localhost", settings.host, *settings.hosts))
        self._origins = frozenset(origin.rstrip("/") for origin in settings.cors_origins)
        self._rate = RateLimit(settings.rate_per_minute)
        self._is_ours = lru_cache(maxsize=256)(self._comes_to_us)

    def role(self, headers: Headers) -> Role | None:
        """What the caller may do."""
        return self._tokens.role(headers)

    def check(self, scope: Scope, headers: Headers, role: Role | None) -> None:
        """Let a request pass.

        Raises:
            ProblemError: 421: it comes to a name that is not the service's. 403: a page of another site has sent it, or
                its token may not change documents. 401: its token is missing or wrong. 429: there were too many.
        """
        method, path = str(scope["method"]), str(scope["path"])
        host = headers.get(b"host", b"")
        if not self._is_ours(host):
            raise ProblemError(
                421,
                f"the service is not known as {host.decode('latin-1')!r:.200}; if that is one of its names, add it to "
                "serve.hosts",
            )
        if method not in _SAFE:
            self._check_site(headers, host)
        if path in _OPEN or path.startswith(_OPEN_BELOW):
            return
        if role is None:
            raise ProblemError(
                401, "a token is needed: Authorization: Bearer TOKEN", {"WWW-Authenticate": 'Bearer realm="confrag"'}
            )
        if role == "read" and not _only_asks(method, path):
            raise ProblemError(403, "this token may ask, and change nothing; the write token is needed")
        caller = role if self._tokens.needed else str((scope.get("client") or ("",))[0])
        if wait := self._rate.take(caller):
            after = max(1, round(wait + 0.5))
            raise ProblemError(
                429, f"too many requests (serve.rate_per_minute); go on in {after} s", {"Retry-After": str(after)}
            )

    def _comes_to_us(self, host: bytes) -> bool:
        """Whether a Host header names the service.

        A page of an attacker's whose name he points to this machine (DNS rebinding) comes with that name; an address
        in digits cannot be pointed elsewhere.
        """
        try:
            name = urlsplit(f"//{host.decode('ascii')}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _check_site(self, headers: Headers, host: bytes) -> None:
        """Refuse what a page of another site lets a browser send; programs send neither of the two headers."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        site = headers.get(b"sec-fetch-site")
        if origin in self._origins:
            return
        if site is not None:
            foreign = site not in (b"same-origin", b"none")
        else:
            foreign = bool(origin) and origin.partition("://")[2].lower() != host.decode("latin-1").lower()
        if foreign:
            raise ProblemError(
                403,
                f"a page of another site ({origin or 'unknown'}) may not do this; sites that may stand in "
                "serve.cors_origins",
            )


def _only_asks(method: str, path: str) -> bool:
    return method in _SAFE or (method == "POST" and (path in _ASKING or path.startswith(_ASKING_BELOW)))


def may_write(scope: Mapping[str, Any]) -> bool:
    """Whether the caller of a request that has passed may change documents."""
    return bool(scope["state"]["role"] == "write")


def request_id_of(headers: Headers) -> str:
    """The id of a request: the caller's own (``X-Request-ID``) if it is short and plain, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode("ascii") if _SANE_ID.fullmatch(given) else f"{_PROCESS}-{next(_IDS):x}"
