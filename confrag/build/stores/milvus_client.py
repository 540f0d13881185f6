"""pymilvus without its chatter, and what a Milvus store asks of the place where its collections are."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from confrag.build.private.imports import root_logger_kept
from confrag.errors import ConfragError, ServiceError
from confrag.registry.indices import IndexTable

with root_logger_kept():
    from pymilvus import DataType as FieldType
    from pymilvus import MilvusClient, MilvusException
    from pymilvus.client.types import LoadState

__all__ = ["Backend", "FieldType", "LoadState", "MilvusClient", "MilvusException", "UnloadedError", "hush"]


class UnloadedError(ServiceError):
    """The server was started anew and has not loaded the collection since."""


class Backend(ABC):
    """Where the collections of a Milvus store are: a file of Milvus Lite's, or a server.

    Attributes:
        place: how messages name it.
        indices: what it has.
        call: arguments of every call.
        index_first: an index is declared before the first row is written, and kept up to date by Milvus; otherwise
            it is built when the number of rows is known.
    """

    place: str
    indices: IndexTable
    call: Mapping[str, Any]
    index_first: bool

    @abstractmethod
    def open(self) -> MilvusClient:
        """A connection of our own; to be followed by `close`."""

    @abstractmethod
    def close(self) -> None:
        """Free what `open` took, once the connection is closed."""

    @abstractmethod
    def name(self, collection: str) -> str:
        """A collection's name there."""

    @abstractmethod
    def field(self, name: str) -> str:
        """A field's name there."""

    @abstractmethod
    def embedding(self, field: str) -> str:
        """The inverse of `field`."""

    @abstractmethod
    def explain(self, action: str, error: Exception) -> ConfragError | None:
        """See `failures.Explain`."""

    def check_sparse(self, client: MilvusClient) -> None:
        """Nothing to do where there are sparse vectors; else raises UserError."""
        return

    @abstractmethod
    def wrote(self, collection: str) -> None:
        """To be told of every change."""

    @abstractmethod
    def reading(self, collection: str, everything: bool = False) -> AbstractContextManager[dict[str, Any]]:
        """Arguments of a call that finds what this process wrote, with `everything` what any did, until it began."""

    @abstractmethod
    def load(self, client: MilvusClient, name: str) -> None:
        """Make a collection searchable."""

    @abstractmethod
    def persist(self, client: MilvusClient, name: str) -> None:
        """Make written rows outlast this process."""

    @abstractmethod
    def flush(self, client: MilvusClient, name: str) -> None:
        """Put written rows where they are indexed."""

    @abstractmethod
    def settle(self, client: MilvusClient, name: str) -> None:
        """Wait until what was flushed is indexed and searched by it."""


def hush() -> None:
    """Keep pymilvus from printing what it also raises, each time with a traceback."""
    logging.getLogger("pymilvus.decorators").addFilter(_not_a_failure)
    logging.getLogger("pymilvus.client.connection_manager").addFilter(_not_a_failure)


def _not_a_failure(record: logging.LogRecord) -> bool:
    told = record.funcName in ("_log_rpc_error", "_recover")
    return not told and not re.search("Retry (timeout|run out)", record.getMessage())
