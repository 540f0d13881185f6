"""A Milvus server: names of our own among others', credentials, deadlines, and what its failures mean."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]

from confrag.build.stores.failures import Server, causes, failing
from confrag.build.stores.milvus_client import Backend, LoadState, MilvusClient, MilvusException, UnloadedError, hush
from confrag.build.stores.vectors import spell, unspell
from confrag.errors import ConfragError, StoreError, UserError
from confrag.registry.indices import MILVUS_SERVER

__all__ = ["RemoteServer", "verify"]

_log = logging.getLogger("confrag")

_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_DENIED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
# Servers differ in their error codes, less so in their words.
_STARTING = re.compile("service not ready|service unavailable|find no available|not healthy", re.IGNORECASE)
_UNLOADED = re.compile("not (fully )?loaded|state .released|on recovering", re.IGNORECASE)
_NO_DATABASE = re.compile("database.* not (found|exist)|can't find database", re.IGNORECASE)
_NOT_PRIVILEGED = re.compile("permission deny|privilege", re.IGNORECASE)
_POLL_S = 0.1
_SPARSE_SINCE = (2, 4)


class RemoteServer(Backend):
    """A Milvus server, as a store uses it.

    Args:
        uri: ``http://HOST:PORT``.
        prefix: put before the name of each collection: several corpora share a server.
        db_name: the database; the server's default one when None.
        user_env, password_env, token_env: names of the environment variables that hold the credentials.
        timeout_s: seconds that a call may take.
        index_timeout_s: seconds to wait for rows to be flushed, indexed or loaded.
        client_kwargs: further arguments of `pymilvus.MilvusClient`.
        where: what of the configuration names the server.
    """

    indices = MILVUS_SERVER
    index_first = True

    def __init__(
        self,
        uri: str,
        prefix: str = "",
        *,
        db_name: str | None = None,
        user_env: str | None = None,
        password_env: str | None = None,
        token_env: str | None = None,
        timeout_s: float = 10.0,
        index_timeout_s: float = 60.0,
        client_kwargs: Mapping[str, Any] | None = None,
        where: str = "store_conf",
    ) -> None:
        start = f"milvus-lite server --data-dir DIR --host 127.0.0.1 --port {urlsplit(uri).port or 19530}"
        self.server = Server("Milvus server", uri, start, timeout_s, where)
        self.place = str(self.server)
        self.call = {"timeout": timeout_s}
        self._call_s, self._patience_s = timeout_s, index_timeout_s
        self._loaded: set[str] = set()
        self._prefix, self._db_name, self._client_kwargs = prefix, db_name, client_kwargs or {}
        self._user_env, self._password_env, self._token_env = user_env, password_env, token_env
        self._changes: Counter[str] = Counter()
        self._seen: dict[str, int] = {}

    def open(self) -> MilvusClient:
        """Connect, and look into the database.

        Raises:
            ServiceError: the server does not answer.
            UserError: it refuses the credentials, or has no such database; or a variable is not set.
        """
        hush()
        secret = self.server.secret
        credentials = {
            "user": secret(self._user_env, "user's name"),
            "password": secret(self._password_env, "password"),
            "token": secret(self._token_env, "token"),
        }
        # Otherwise a new connection shares gRPC's waiting time after the failures of the one before it.
        options = {"grpc.use_local_subchannel_pool": 1, **self._client_kwargs.get("grpc_options", {})}
        arguments = {**self._client_kwargs, **credentials, **self.call, "grpc_options": options}
        with failing("connecting", self.place, self.explain):
            client = MilvusClient(self.server.uri, db_name=self._db_name or "", dedicated=True, **arguments)
        try:
            with failing("connecting", self.place, self.explain):
                self._look(client)
        except BaseException:
            client.close()
            raise
        return client

    def _look(self, client: MilvusClient) -> None:
        try:
            client.list_collections(**self.call)
        except MilvusException as error:
            if not _NO_DATABASE.search(str(error)):
                raise
            known = ", ".join(sorted(client.list_databases(**self.call)))
            raise UserError(
                f"{self.server.where}: the {self.server.kind} at {self.server.uri} has no database '{self._db_name}'; "
                f"it has: {known}"
            ) from None

    def check_sparse(self, client: MilvusClient) -> None:
        """Raises UserError: the server is older than sparse vectors are."""
        version = str(client.get_server_version(**self.call))
        parts = re.search(r"(\d+)\.(\d+)", version)
        if parts and (int(parts[1]), int(parts[2])) < _SPARSE_SINCE:
            raise UserError(
                f"{self.server.where}: the {self.server.kind} at {self.server.uri} is of version {version}, and sparse "
                "vectors came with Milvus 2.4; update it, name another server with `uri`, or leave `uri` out for a file"
            )

    def close(self) -> None:
        """Nothing to do: the server goes on."""

    def name(self, collection: str) -> str:
        """With the prefix; what Milvus does not allow in a name is spelt ``_x<code>_``."""
        return spell(self._prefix + collection)

    def field(self, name: str) -> str:
        """Spelt like a collection."""
        return spell(name)

    def embedding(self, field: str) -> str:
        """The inverse of `field`."""
        return unspell(field)

    def explain(self, action: str, error: Exception) -> ConfragError | None:
        """A server that does not answer, or does not let us in."""
        status: Any = next((cause for cause in causes(error) if isinstance(cause, grpc.RpcError)), None)
        if status is not None and status.code() in _AWAY:
            late = status.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return self.server.away(action, None if late else _last(status.details()))
        if (status is not None and status.code() in _DENIED) or _NOT_PRIVILEGED.search(str(error)):
            return self.server.denied(action, self._asked_as())
        if _UNLOADED.search(str(error)):
            return UnloadedError(str(self.server.away(action, f"it is loading the collection ({_last(str(error))})")))
        if _STARTING.search(str(error)):
            return self.server.away(action, f"it is starting or ending ({_last(str(error))})")
        return None

    def _asked_as(self) -> str:
        names = [name for name in (self._user_env, self._password_env, self._token_env) if name]
        return f"with the credentials of {', '.join(names)}" if names else "without user, password or token"

    def wrote(self, collection: str) -> None:
        """Let the next read of the collection wait until the server shows the change."""
        self._changes[collection] += 1

    @contextmanager
    def reading(self, collection: str, everything: bool = False) -> Iterator[dict[str, Any]]:
        """Waiting for the newest rows takes Milvus some tenths of a second: done once after each change."""
        # Its "session" level would know our own changes, but not the deletions by an expression among them.
        changes = self._changes[collection]
        strong = everything or self._seen.get(collection) != changes
        yield {"consistency_level": "Strong" if strong else "Bounded", **self.call}
        if strong:
            self._seen[collection] = max(self._seen.get(collection, 0), changes)

    def load(self, client: MilvusClient, name: str) -> None:
        """Load, and wait until it is done; a collection that was loaded before, not longer than for any other call."""
        patience = self._call_s if name in self._loaded else self._patience_s
        deadline = time.monotonic() + patience
        client.load_collection(name, _async=True, **self.call)
        while client.get_load_state(name, **self.call)["state"] is not LoadState.Loaded:
            if time.monotonic() > deadline:
                raise self.server.away(f"loading collection '{name}'", f"not done after {patience:g} s")
            time.sleep(_POLL_S)
        self._loaded.add(name)

    def persist(self, client: MilvusClient, name: str) -> None:
        """Nothing to do: the server has them in its log."""

    def flush(self, client: MilvusClient, name: str) -> None:
        """Flush, and wait until it is done."""
        client.flush(name, timeout=self._patience_s)

    def settle(self, client: MilvusClient, name: str) -> None:
        """Wait for the index of all rows, not for ever; the server goes over to it by itself."""
        deadline = time.monotonic() + self._patience_s
        for field in client.list_indexes(name, **self.call):
            while (index := client.describe_index(name, field, **self.call)) and _pending(index):
                if time.monotonic() > deadline:
                    _log.warning(
                        "%s: the %s index of collection '%s' is not complete after %g s (%s of %s rows). The server "
                        "goes on building it; until then, searches are slower or find less",
                        *(self.place, index["index_type"], name, self._patience_s),
                        *(index.get("indexed_rows", 0), index.get("total_rows", "?")),
                    )
                    break
                time.sleep(_POLL_S)
            if index.get("state") == "Failed":
                reason = index.get("index_state_fail_reason") or "the server says no more"
                raise StoreError(
                    f"{self.place}: the {index['index_type']} index of collection '{name}' cannot be built: {reason}"
                )


def verify(*, uri: str, timeout_s: float = 10.0, **arguments: Any) -> None:
    """Ask a server whether it answers to these arguments of a store.

    Raises:
        ServiceError: it does not answer.
        UserError: it refuses the credentials, or has no such database; or a variable is not set.
    """
    known = ("db_name", "user_env", "password_env", "token_env", "client_kwargs")
    given = {key: arguments[key] for key in known if key in arguments}
    RemoteServer(uri, timeout_s=timeout_s, **given).open().close()


def _pending(index: Mapping[str, Any]) -> bool:
    # "Finished" may also be said of no rows at all, and before the first of them is looked at.
    return bool(index.get("pending_index_rows")) or index.get("state", "Finished") not in ("Finished", "Failed")


def _last(details: str | None) -> str:
    """The last part of a message that lists one cause after the other."""
    return (details or "no connection").rstrip(")>").rsplit(": ", 1)[-1]
