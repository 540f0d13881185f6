"""Where the collections of a Chroma store are: a folder of this machine, or a server."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import httpx
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings
from chromadb.errors import AuthorizationError, ChromaAuthError, NotFoundError

from confrag.build.stores.failures import Server, causes, failing
from confrag.build.stores.vectors import spell
from confrag.errors import ConfragError, UserError

__all__ = ["Folder", "Place", "RemoteServer", "place_for", "verify"]


class Place(ABC):
    """Where collections are; as a text, how messages name it."""

    @abstractmethod
    def open(self) -> Any:
        """A client of Chroma's; to be closed by its `close`."""

    def reopen(self, client: Any) -> Any:
        """A client that sees what other processes wrote; the same one where every client does."""
        return client

    @abstractmethod
    def name(self, collection: str) -> str:
        """A collection's name there."""

    @abstractmethod
    def explain(self, action: str, error: Exception) -> ConfragError | None:
        """See `failures.Explain`."""


class Folder(Place):
    """A folder that this process opens.

    Args:
        path: the folder; made when it is not there.
        client_kwargs: further arguments of `chromadb.PersistentClient`.
    """

    def __init__(self, path: str, client_kwargs: Mapping[str, Any]) -> None:
        self._path, self._client_kwargs = path, client_kwargs

    def __str__(self) -> str:
        return f"Chroma store '{self._path}'"

    def open(self) -> Any:
        """Open the database, or make it."""
        Path(self._path).mkdir(parents=True, exist_ok=True)
        arguments = {"settings": Settings(anonymized_telemetry=False), **self._client_kwargs}
        try:
            return chromadb.PersistentClient(path=self._path, **arguments)
        except BaseException:
            # The half-opened one.
            self._forget()
            raise

    def reopen(self, client: Any) -> Any:
        """A new client; the old one frees its files when nobody uses it any more."""
        self._forget()
        return self.open()

    def _forget(self) -> None:
        """Chroma keeps the open database by path and would hand it out to the next client."""
        SharedSystemClient._identifier_to_system.pop(self._path, None)
        SharedSystemClient._identifier_to_refcount.pop(self._path, None)

    def name(self, collection: str) -> str:
        """As it is: the folder is ours alone."""
        return collection

    def explain(self, action: str, error: Exception) -> None:
        """What fails is the store."""


class RemoteServer(Place):
    """A Chroma server.

    Args:
        uri: ``http://HOST:PORT``.
        prefix: put before the name of each collection: several corpora share a server.
        tenant, database: Chroma's default ones when None.
        token_env: name of the environment variable that holds the token.
        timeout_s: seconds that a call may take.
        client_kwargs: further arguments of `chromadb.HttpClient`.
    """

    def __init__(
        self,
        uri: str,
        prefix: str = "",
        *,
        tenant: str | None = None,
        database: str | None = None,
        token_env: str | None = None,
        timeout_s: float = 10.0,
        client_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        address = urlsplit(uri)
        self._ssl = address.scheme == "https"
        self._host, self._port = address.hostname or "", address.port or (443 if self._ssl else 80)
        start = f"chroma run --path DIR --host 127.0.0.1 --port {self._port}"
        self.server = Server("Chroma server", uri, start, timeout_s)
        self._prefix, self._token_env = prefix, token_env
        self._tenant, self._database = tenant or DEFAULT_TENANT, database or DEFAULT_DATABASE
        self._client_kwargs = client_kwargs or {}

    def __str__(self) -> str:
        return str(self.server)

    def open(self) -> Any:
        """Connect.

        Raises:
            ServiceError: the server does not answer.
            UserError: it refuses the token, or has no such tenant or database; or a variable is not set.
        """
        # It reports every request.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        token = self.server.secret(self._token_env, "token")
        headers = {"Authorization": f"Bearer {token}", "X-Chroma-Token": token} if token else {}
        with failing("connecting", str(self), self.explain):
            # Chroma's client waits without an end; so the server is asked beforehand whether it is there.
            url = f"{self.server.uri.rstrip('/')}/api/v2/heartbeat"
            httpx.get(url, headers=headers, timeout=self.server.timeout_s).raise_for_status()
            client = chromadb.HttpClient(
                host=self._host,
                port=self._port,
                ssl=self._ssl,
                headers=headers,
                tenant=self._tenant,
                database=self._database,
                **{"settings": Settings(anonymized_telemetry=False), **self._client_kwargs},
            )
        client._server._session.timeout = self.server.timeout_s
        return client

    def name(self, collection: str) -> str:
        """With the prefix; what Chroma does not allow in a name is spelt ``_x<code>_``."""
        return spell(self._prefix + collection)

    def explain(self, action: str, error: Exception) -> ConfragError | None:
        """A server that does not answer, or does not let us in."""
        chain = causes(error)
        responses = [cause.response for cause in chain if isinstance(cause, httpx.HTTPStatusError)]
        status = responses[0].status_code if responses else None
        if status in (401, 403) or any(isinstance(c, AuthorizationError | ChromaAuthError) for c in chain):
            known = f"with the token of {self._token_env}" if self._token_env else "without a token"
            return self.server.denied(action, known)
        if status in (502, 503, 504):
            return self.server.away(action, f"HTTP {status}")
        for cause in chain:
            if isinstance(cause, httpx.TransportError):
                late = isinstance(cause, httpx.TimeoutException)
                return self.server.away(action, None if late else str(cause).rpartition("] ")[2] or "no connection")
        if action == "connecting" and any(isinstance(cause, NotFoundError) for cause in chain):
            return UserError(
                f"store_conf: the {self.server.kind} at {self.server.uri} has no database '{self._database}' of a "
                f"tenant '{self._tenant}'"
            )
        return None


def place_for(path: str, client_kwargs: Mapping[str, Any], server: Mapping[str, Any] | None) -> Place:
    """The folder, or the server when its arguments are given."""
    if server is None:
        return Folder(path, client_kwargs)
    return RemoteServer(path, client_kwargs=client_kwargs, **server)


def verify(*, uri: str, **arguments: Any) -> None:
    """Ask a server whether it answers to these arguments of a store.

    Raises:
        ServiceError: it does not answer.
        UserError: it refuses the token, or has no such tenant or database; or a variable is not set.
    """
    known = ("tenant", "database", "token_env", "timeout_s", "client_kwargs")
    RemoteServer(uri, **{key: arguments[key] for key in known if key in arguments}).open().close()
