"""The collections of a Milvus store: made, opened and indexed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazyllm.tools.rag.global_metadata import RAG_DOC_ID
from lazyllm.tools.rag.store.store_base import EMBED_PREFIX

from confrag.build.stores.filters import DOC_FIELDS
from confrag.build.stores.milvus_client import Backend, FieldType, MilvusClient
from confrag.build.stores.milvus_index import IndexKwargs, MilvusIndex, index_for
from confrag.errors import StoreError

__all__ = ["MilvusCollections"]


class MilvusCollections:
    """What is known of the collections. Every method but `known` talks to Milvus; what fails there raises as it does.

    Attributes:
        unfinished: collections with rows that are not flushed, or not indexed.

    Args:
        backend: where they are.
        index_kwargs: which index each embedding is to have, see `milvus_index.index_for`.
    """

    def __init__(self, backend: Backend, index_kwargs: IndexKwargs) -> None:
        self.unfinished: set[str] = set()
        self._backend = backend
        self._wanted = index_kwargs
        self._indices: dict[str, dict[str, MilvusIndex]] = {}
        self._dims: dict[tuple[str, str], int] = {}

    def known(self, collection: str) -> dict[str, MilvusIndex] | None:
        """The indices by embedding of a collection that was opened or made."""
        return self._indices.get(collection)

    def dim(self, collection: str, key: str) -> int | None:
        """Length of the vectors of an embedding."""
        return self._dims.get((collection, key))

    def field(self, key: str) -> str:
        """The field of an embedding."""
        return self._backend.field(EMBED_PREFIX + key)

    def forget(self) -> None:
        """Ask for everything once more."""
        self._indices = {}

    def open(self, client: MilvusClient, collection: str) -> dict[str, MilvusIndex] | None:
        """Make a collection that is there searchable; None when there is none.

        Raises:
            StoreError: it has another index than the one that is configured.
        """
        if (known := self.known(collection)) is not None:
            return known
        name, call = self._backend.name(collection), self._backend.call
        if not client.has_collection(name, **call):
            return None
        indices = {}
        for field in client.describe_collection(name, **call)["fields"]:
            key = self._backend.embedding(field["name"]).removeprefix(EMBED_PREFIX)
            if self.field(key) == field["name"]:
                sparse = field["type"] == FieldType.SPARSE_FLOAT_VECTOR
                indices[key] = index_for(self._wanted, key, sparse, self._backend.indices)
                self._dims[collection, key] = int(field["params"].get("dim", 0))
        self._check_built(client, collection, indices)
        self._load(client, collection, indices)
        return indices

    def create(
        self, client: MilvusClient, collection: str, embedding: Mapping[str, Any], *, with_metadata: bool
    ) -> None:
        """Make a collection with a field for every embedding.

        Args:
            client: of the backend.
            collection: its name.
            embedding: the vectors of a first row, by embedding.
            with_metadata: it holds the declared metadata, too.

        Raises:
            UserError: there is no such index.
        """
        table = self._backend.indices
        indices = {k: index_for(self._wanted, k, isinstance(v, Mapping), table) for k, v in embedding.items()}
        if any(isinstance(vector, Mapping) for vector in embedding.values()):
            self._backend.check_sparse(client)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("uid", FieldType.VARCHAR, is_primary=True, max_length=512)
        schema.add_field(RAG_DOC_ID, FieldType.VARCHAR, max_length=512)
        if with_metadata:
            schema.add_field(DOC_FIELDS, FieldType.JSON)
        for key, vector in sorted(embedding.items()):
            if isinstance(vector, Mapping):
                schema.add_field(self.field(key), FieldType.SPARSE_FLOAT_VECTOR)
            else:
                schema.add_field(self.field(key), FieldType.FLOAT_VECTOR, dim=len(vector))
                self._dims[collection, key] = len(vector)
                indices[key].building(len(vector))  # refuses now what would fail later
        client.create_collection(self._backend.name(collection), schema=schema, **self._backend.call)
        self._load(client, collection, indices)

    def drop(self, client: MilvusClient, collection: str) -> None:
        """Delete a collection, if there is one."""
        self._indices.pop(collection, None)
        client.drop_collection(self._backend.name(collection), **self._backend.call)
        self.unfinished.discard(collection)

    def build(self, client: MilvusClient, collection: str, rows: int) -> None:
        """Begin to build the indices that an open collection with so many rows lacks."""
        self._build_missing(client, collection, self._indices[collection], rows)

    def _check_built(self, client: MilvusClient, collection: str, indices: Mapping[str, MilvusIndex]) -> None:
        name, call = self._backend.name(collection), self._backend.call
        built = set(client.list_indexes(name, **call))
        for key, index in indices.items():
            if self.field(key) not in built:
                self.unfinished.add(collection)
                continue
            described = client.describe_index(name, self.field(key), **call)
            found, wanted = (described["index_type"], described["metric_type"]), (index.index_type, index.metric_type)
            if found != wanted:
                raise StoreError(
                    f"{self._backend.place}: the index of collection '{collection}' was built as {' '.join(found)}, "
                    f"and {' '.join(wanted)} is configured. Delete it and ingest again, or configure the index that it "
                    "has."
                )

    def _load(self, client: MilvusClient, collection: str, indices: dict[str, MilvusIndex]) -> None:
        """Make the collection searchable; a server wants an index for that."""
        if self._backend.index_first:
            self._build_missing(client, collection, indices)
        self._backend.load(client, self._backend.name(collection))
        self._indices[collection] = indices

    def _build_missing(
        self, client: MilvusClient, collection: str, indices: Mapping[str, MilvusIndex], rows: int | None = None
    ) -> None:
        name, call = self._backend.name(collection), self._backend.call
        built = set(client.list_indexes(name, **call))
        for key, index in indices.items():
            field = self.field(key)
            if field in built:
                continue
            params = client.prepare_index_params()
            kind = {"index_type": index.index_type, "metric_type": index.metric_type}
            params.add_index(field, **kind, params=index.building(self.dim(collection, key) or 0, rows))
            # Not sync: `settle` waits, better than pymilvus does.
            client.create_index(name, params, sync=False, **call)
