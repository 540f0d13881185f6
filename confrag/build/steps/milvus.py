"""Recall step `milvus`: a collection that something else has filled, searched straight on pymilvus' client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lazyllm.tools.rag import DocNode

from confrag.build.private.nodes import place
from confrag.build.steps.parts import Children, Parts
from confrag.build.stores.failures import failing
from confrag.build.stores.milvus_client import Backend, FieldType, MilvusClient, UnloadedError
from confrag.build.stores.vectors import similarity_from_distance
from confrag.build.trace import current, limit, span
from confrag.errors import UserError, nearest
from confrag.schema.filters import FILE
from confrag.schema.store import is_server

__all__ = ["MilvusRoute", "Search", "build"]

_VECTORS = {FieldType.FLOAT_VECTOR: "dense", FieldType.SPARSE_FLOAT_VECTOR: "sparse"}


@dataclass(frozen=True)
class Search:
    """What is asked of the collection.

    Attributes:
        collection: its name.
        anns_field: the field of the vectors; None: the only one that there is.
        metric_type: None: that of the index.
        search_params: ``ef``, ``nprobe``, ...
        text_field: becomes a node's text.
        file_field: becomes its file.
        output_fields: become its metadata.
        filter: a condition in Milvus' own language.
        topk: how many nodes.
    """

    collection: str
    anns_field: str | None
    metric_type: str | None
    search_params: Mapping[str, Any]
    text_field: str
    file_field: str | None
    output_fields: Sequence[str]
    filter: str
    topk: int


class MilvusRoute:
    """Question -> nodes of a foreign collection, best first. Nothing is ever written. Safe for threads.

    Args:
        name: of the route.
        path: of the step in the configuration.
        backend: the file or server.
        embed: the vector of a question, a list of floats or token id -> weight.
        search: what is asked.

    Raises:
        ServiceError: the server does not answer.
        UserError: it refuses the credentials; there is no such collection or field, or its vectors are not those of
            the embedding model.
        StoreError: the file cannot be opened.
    """

    def __init__(self, name: str, path: str, backend: Backend, embed: Callable[[str], Any], search: Search) -> None:
        self._name, self._path = name, path
        self._backend, self._embed, self._search = backend, embed, search
        self._guard = threading.Lock()
        probe = embed("?")
        self._client: MilvusClient | None = backend.open()
        try:
            with failing("opening", backend.place, backend.explain):
                self._field, self._metric = self._check(self._client, probe)
                backend.load(self._client, search.collection)
        except BaseException:
            self.close()
            raise

    def __call__(self, query: str) -> list[DocNode]:
        """The nodes for a question.

        Raises:
            ServiceError: the server does not answer.
            StoreError: the search fails.
            UserError: the question has filters, which are about the documents of the corpus.
        """
        with span("retrieve", self._name):
            if (trace := current()) and trace.filters:
                raise UserError(
                    f"filters hold for the documents of the corpus, and {self._path} searches a collection of its own; "
                    "ask without filters, or declare a `filter` of this step"
                )
            vector = self._embed(query)
            if not vector:
                return []
            try:
                hits = self._hits(vector)
            except UnloadedError:  # a server that was started anew since
                self._backend.load(self._open_client, self._search.collection)
                hits = self._hits(vector)
            return [self._node(rank, hit) for rank, hit in enumerate(hits, start=1)]

    def close(self) -> None:
        """Close the connection. May be called more than once."""
        with self._guard:
            client, self._client = self._client, None
        if client is not None:
            client.close()
            self._backend.close()

    @property
    def _open_client(self) -> MilvusClient:
        if self._client is None:
            raise RuntimeError(f"the route {self._path} is closed")
        return self._client

    def _hits(self, vector: Any) -> Sequence[Any]:
        asked = self._search
        wanted = [asked.text_field, *([asked.file_field] if asked.file_field else []), *asked.output_fields]
        with failing(f"searching collection '{asked.collection}'", self._backend.place, self._backend.explain):
            found = self._open_client.search(
                asked.collection,
                data=[vector if isinstance(vector, Mapping) else np.asarray(vector, np.float32)],
                anns_field=self._field,
                limit=limit(asked.topk),
                filter=asked.filter,
                output_fields=list(dict.fromkeys(wanted)),
                search_params={"metric_type": self._metric, "params": dict(asked.search_params)},
                **self._backend.call,
            )
        hits: Sequence[Any] = found[0]
        return hits

    def _node(self, rank: int, hit: Any) -> DocNode:
        asked, row = self._search, hit["entity"]
        text, file = row.get(asked.text_field), row.get(asked.file_field) if asked.file_field else None
        node = place(
            DocNode(text="" if text is None else str(text)),
            uid=f"{asked.collection}/{hit.id}",
            group=asked.collection,
            parent=None,
            number=rank,
            metadata={name: row.get(name) for name in asked.output_fields},
            shared={FILE: "" if file is None else str(file)},
        )
        distance = float(hit["distance"])
        node.similarity_score = similarity_from_distance(distance) if self._metric == "L2" else distance
        node.routes = (self._name,)
        return node

    def _check(self, client: MilvusClient, probe: Any) -> tuple[str, str]:
        """Field and metric of the search, once everything that it names is there and fits the vector of a question."""
        asked, call = self._search, self._backend.call
        if not client.has_collection(asked.collection, **call):
            raise self._unknown("collection", asked.collection, sorted(client.list_collections(**call)), "collection")
        described = client.describe_collection(asked.collection, **call)
        fields = {field["name"]: field for field in described["fields"]}
        if not described.get("enable_dynamic_field"):
            named = {"text_field": asked.text_field, "file_field": asked.file_field}
            for key, name in [*named.items(), *(("output_fields", name) for name in asked.output_fields)]:
                if name is not None and name not in fields:
                    raise self._unknown(key, name, sorted(fields), f"field of collection '{asked.collection}'")
        vectors = {name: field for name, field in fields.items() if field["type"] in _VECTORS}
        if asked.anns_field is not None and asked.anns_field not in vectors:
            what = f"field of dense or sparse vectors in collection '{asked.collection}'"
            raise self._unknown("anns_field", asked.anns_field, sorted(vectors), what)
        if asked.anns_field is None and len(vectors) != 1:
            raise UserError(
                f"{self._path}.anns_field: must name one of the fields of vectors of collection "
                f"'{asked.collection}': {', '.join(sorted(vectors)) or 'it has none'}"
            )
        name = asked.anns_field or next(iter(vectors))
        self._check_vectors(name, vectors[name], probe)
        return name, self._check_metric(client, name, vectors[name])

    def _check_vectors(self, name: str, field: Mapping[str, Any], probe: Any) -> None:
        """The embedding model gives such vectors as the field has."""
        given = "sparse" if isinstance(probe, Mapping) else f"{len(probe)} dimensions"
        has = "sparse" if field["type"] == FieldType.SPARSE_FLOAT_VECTOR else f"{field['params']['dim']} dimensions"
        if given != has:
            raise UserError(
                f"{self._path}.model: its vectors are not those of field '{name}' of collection "
                f"'{self._search.collection}' ({given} here, {has} there); name the embedding model that the "
                "collection was filled with"
            )

    def _check_metric(self, client: MilvusClient, name: str, field: Mapping[str, Any]) -> str:
        """The metric that the field is indexed for, which is also the one that is asked for."""
        collection, wanted, call = self._search.collection, self._search.metric_type, self._backend.call
        sparse = field["type"] == FieldType.SPARSE_FLOAT_VECTOR
        # An index has the name of its field unless it was given another.
        names = client.list_indexes(collection, field_name=name, **call)
        index = client.describe_index(collection, names[0], **call) if names else {}
        built = str(index.get("metric_type") or wanted or ("IP" if sparse else "COSINE"))
        if wanted not in (None, built):
            raise UserError(
                f"{self._path}.metric_type = '{wanted}': the index of field '{name}' of collection '{collection}' "
                f"compares by {built}"
            )
        return built

    def _unknown(self, key: str, name: str, known: list[str], what: str) -> UserError:
        close = nearest(name, known)
        hint = f". Did you mean '{close}'?" if close else ""
        return UserError(
            f"{self._path}.{key} = '{name}': there is no {what} of this name at {self._backend.place}; "
            f"known: {', '.join(known) or 'none'}{hint}"
        )


def build(
    parts: Parts,
    children: Children,
    *,
    name: str,
    path: str,
    uri: str,
    model: str,
    db_name: str | None,
    user_env: str | None,
    password_env: str | None,
    token_env: str | None,
    timeout_s: float,
    **search: Any,
) -> MilvusRoute:
    """The route of a plan, connected; it is closed with what `parts` holds."""
    if is_server(uri):
        from confrag.build.stores.milvus_remote import RemoteServer

        backend: Backend = RemoteServer(
            uri,
            db_name=db_name,
            user_env=user_env,
            password_env=password_env,
            token_env=token_env,
            timeout_s=timeout_s,
            where=path,
        )
    else:
        from confrag.build.stores.milvus_server import LocalFile

        file = Path(uri.removeprefix("file://")).expanduser()
        if not file.exists():
            raise UserError(f"{path}.uri = '{uri}': there is no such file; a server is named http://HOST:PORT")
        backend = LocalFile(str(file), {})
    route = MilvusRoute(name, path, backend, parts.embed[model], Search(**search))
    parts.resources.callback(route.close)
    return route
