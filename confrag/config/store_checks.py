"""What can be said of `store_conf` without opening it: places, credentials, indices."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from confrag.config.raw import Raw
from confrag.config.vectors import sort_of_vectors
from confrag.errors import Problem, nearest
from confrag.registry.indices import MILVUS_FILE, MILVUS_SERVER, IndexTable
from confrag.schema.store import is_server

__all__ = ["server", "store"]


_SCHEMES = ("http", "https")
_OF_A_SERVER = ("user_env", "password_env", "token_env", "tenant", "database")
_HAVE_KEYS = ("uri", "user", "password", "token", "db_name", "timeout", "headers", "host", "port", "tenant", "database")
"""What `client_kwargs` may not carry to a server: it has a key of its own, or is a secret."""


def store(raw: Raw) -> Iterator[Problem]:
    """Places that can be opened, credentials that are set, indices that the store has, for embeddings that exist."""
    conf = raw.get("store_conf")
    if not isinstance(conf, Mapping):
        return
    for path, kind, kwargs in _backends(conf):
        if kind not in ("milvus", "chroma"):
            continue
        yield from server(path, kwargs)
        if kind == "milvus":
            table = MILVUS_SERVER if is_server(kwargs.get("uri")) else MILVUS_FILE
            yield from _milvus_indices(raw, path, kwargs.get("index_kwargs"), table)


def _backends(conf: Raw) -> Iterator[tuple[str, str, Raw]]:
    smart = conf.get("indices", {}) if isinstance(conf.get("indices"), Mapping) else {}
    parts = [("store_conf", conf), ("store_conf.vector_store", conf.get("vector_store"))]
    for path, part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("kwargs", {}), Mapping):
            yield f"{path}.kwargs", str(part.get("type")), part.get("kwargs") or {}
    entry = smart.get("smart_embedding_index")
    if isinstance(entry, Mapping) and isinstance(entry.get("kwargs", {}), Mapping):
        yield "store_conf.indices.smart_embedding_index.kwargs", str(entry.get("backend")), entry.get("kwargs") or {}


def server(path: str, kwargs: Raw) -> Iterator[Problem]:
    """Of the place: a server's address, and what it asks for."""
    uri = kwargs.get("uri")
    if not isinstance(uri, str) or not is_server(uri):
        for key in _OF_A_SERVER:
            if kwargs.get(key) is not None:
                yield Problem(f"{path}.{key}", "only a server asks for this; name one with `uri`", kwargs[key])
        return
    yield from _address(path, uri)
    if kwargs.get("dir") is not None:
        yield Problem(f"{path}.dir", "a folder and a server (`uri`) exclude each other", kwargs["dir"])
    further = kwargs.get("client_kwargs")
    for key in further if isinstance(further, Mapping) else ():
        if key in _HAVE_KEYS:
            # The value may be a secret.
            yield Problem(
                f"{path}.client_kwargs.{key}",
                "has a place of its own: uri, db_name, tenant, database and timeout_s, and for secrets user_env, "
                "password_env and token_env, which name environment variables",
            )
    for key in ("user_env", "password_env", "token_env"):
        variable = kwargs.get(key)
        if isinstance(variable, str) and not os.environ.get(variable):
            yield Problem(f"{path}.{key}", f"the environment variable {variable} is not set", variable)
    user, password = kwargs.get("user_env"), kwargs.get("password_env")
    if (user is None) != (password is None):
        there, missing = ("user_env", "password_env") if password is None else ("password_env", "user_env")
        yield Problem(f"{path}.{there}", f"a user and a password belong together; name {missing} too")
    elif user is not None and kwargs.get("token_env") is not None:
        yield Problem(f"{path}.token_env", "a token takes the place of user and password; name one or the other")


def _address(path: str, uri: str) -> Iterator[Problem]:
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield Problem(f"{path}.uri", f"not an address: {error}", uri)
        return
    if parts.username is not None or parts.password is not None:
        yield Problem(
            f"{path}.uri",
            "user and password do not belong into a configuration; name environment variables that hold them "
            "with user_env and password_env, or token_env",
        )
    elif parts.scheme.lower() not in _SCHEMES:
        yield Problem(f"{path}.uri", "a server is named http://HOST:PORT or https://HOST:PORT", uri)
    elif not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        yield Problem(f"{path}.uri", "a server is named http://HOST:PORT, with nothing behind it", uri)


def _milvus_indices(raw: Raw, path: str, indices: object, table: IndexTable) -> Iterator[Problem]:
    listed = indices if isinstance(indices, list) else [indices]
    embedders = _embedders(raw)
    seen: set[str] = set()
    for number, index in enumerate(listed):
        if not isinstance(index, Mapping):
            continue
        place = f"{path}.index_kwargs" + (f".{number}" if isinstance(indices, list) else "")
        key = index.get("embed_key")
        if isinstance(key, str) and key not in embedders:
            names = ", ".join(embedders) or "none"
            message = f"there is no embedding model of this name; known: {names}"
            yield Problem(f"{place}.embed_key", message, key, nearest(key, embedders))
        if str(key) in seen or (key is None and len(listed) > 1):
            yield Problem(f"{place}.embed_key", "each index of a list names its own embedding", key)
        seen.add(str(key))
        meant = embedders.get(key) if isinstance(key, str) else None
        yield from _index(place, index, table, list(embedders.values()) if meant is None else [meant])


def _index(place: str, index: Raw, table: IndexTable, models: list[Raw]) -> Iterator[Problem]:
    """Of one index: its type, for the vectors that there are, and its metric."""
    kind, metric = index.get("index_type"), index.get("metric_type")
    if not isinstance(kind, str):
        return
    sorts = [sort_of_vectors(model) for model in models] or ["floating"]
    sort = table.sort(kind.upper())
    # A plugin's model may give dense or sparse vectors, though none that are binary.
    fits = sort in sorts or (None in sorts and sort != "binary")
    refused = table.refuse_type(kind.upper(), None if fits else sorts[0] or "floating")
    if refused:
        yield Problem(f"{place}.index_type", refused, kind)
    elif isinstance(metric, str) and (refused := table.refuse_metric(kind.upper(), metric.upper())):
        yield Problem(f"{place}.metric_type", refused, metric)


def _embedders(raw: Raw) -> dict[str, Raw]:
    models = raw.get("models")
    return {
        str(name): model
        for name, model in (models.items() if isinstance(models, Mapping) else ())
        if isinstance(model, Mapping) and model.get("role") == "embed"
    }
