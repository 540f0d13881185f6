"""Milvus Lite in this process: one server for a data folder, shared by the stores that name it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from confrag.build.private.imports import root_logger_kept
from confrag.build.stores.failures import failing
from confrag.build.stores.milvus_client import Backend, MilvusClient, hush
from confrag.errors import StoreError
from confrag.registry.indices import MILVUS_FILE

with root_logger_kept():
    import faiss
    import grpc  # type: ignore[import-untyped]
    import pyarrow
    from milvus_lite import DataDirLockedError, MilvusLite
    from milvus_lite.adapter.grpc.servicer import MilvusServicer
    from pymilvus.grpc_gen import milvus_pb2_grpc

__all__ = ["LocalFile", "LocalServer"]

_MAX_MESSAGE_BYTES = 256 * 1024 * 1024


class LocalFile(Backend):
    """A Milvus Lite file, as a store uses it.

    Args:
        path: Milvus Lite's data folder.
        client_kwargs: further arguments of `pymilvus.MilvusClient`.
    """

    indices = MILVUS_FILE
    call: Mapping[str, Any] = {}
    index_first = False

    def __init__(self, path: str, client_kwargs: Mapping[str, Any]) -> None:
        self.place = f"Milvus store '{path}'"
        self._path = path
        self._client_kwargs = client_kwargs
        self._server: LocalServer | None = None

    def open(self) -> MilvusClient:
        """Start Milvus Lite, or join the one that has the file open in this process."""
        server = LocalServer.acquire(self._path)
        try:
            # A connection of its own: shared ones stay open after close().
            client = MilvusClient(server.uri, dedicated=True, **self._client_kwargs)
        except BaseException:
            server.release()
            raise
        self._server = server
        return client

    def close(self) -> None:
        """End the server, unless others use it."""
        server, self._server = self._server, None
        if server is not None:
            server.release()

    def name(self, collection: str) -> str:
        """As it is: the file is ours alone."""
        return collection

    def field(self, name: str) -> str:
        """As it is."""
        return name

    def embedding(self, field: str) -> str:
        """As it is."""
        return field

    def explain(self, action: str, error: Exception) -> None:
        """The server is in this process; what fails is the store."""

    def wrote(self, collection: str) -> None:
        """Nothing to do: every read finds every write."""

    def reading(self, collection: str, everything: bool = False) -> AbstractContextManager[dict[str, Any]]:
        """No arguments."""
        return nullcontext({})

    def load(self, client: MilvusClient, name: str) -> None:
        """Load, and take in what a process that was killed has left."""
        self._running_server.recover(name)
        client.load_collection(name)
        # Reading the files leaves as much memory again behind, which would stay with the process.
        pyarrow.default_memory_pool().release_unused()

    def persist(self, client: MilvusClient, name: str) -> None:
        """Flush; indices come later."""
        client.flush(name)

    def flush(self, client: MilvusClient, name: str) -> None:
        """Flush, and wait until it is done with."""
        client.flush(name)
        self.settle(client, name)

    def settle(self, client: MilvusClient, name: str) -> None:
        """Wait for the background work."""
        self._running_server.wait_for_index(name)

    @property
    def _running_server(self) -> LocalServer:
        if self._server is None:
            raise StoreError(f"{self.place} is not open")
        return self._server


_running: dict[Path, LocalServer] = {}
_guard = threading.Lock()


class LocalServer:
    """A Milvus Lite server on a loopback port, with the database behind it.

    pymilvus would start one too, but it swallows the reason when that fails, leaves it running until the process
    ends, and gives no way to wait for the index.

    Attributes:
        uri: where `pymilvus.MilvusClient` finds it.
    """

    def __init__(self, path: Path) -> None:
        _hush()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._database = MilvusLite(str(path))
        self._workers = ThreadPoolExecutor(max_workers=10, thread_name_prefix="milvus-lite")
        limits = ["grpc.max_receive_message_length", "grpc.max_send_message_length"]
        # pymilvus sends a ping each ten seconds, also when there is nothing to do; gRPC's servers hang up on that.
        options = [("grpc.http2.max_ping_strikes", 0), *((name, _MAX_MESSAGE_BYTES) for name in limits)]
        self._server = grpc.server(self._workers, options=options)
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(self._database), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self._users = 0
        self.uri = f"http://127.0.0.1:{port}"

    @classmethod
    def acquire(cls, path: str) -> LocalServer:
        """The server of a folder, started when nobody uses it yet; to be released.

        Raises:
            StoreError: the folder cannot be opened, or another process has it.
        """
        key = Path(path).resolve()
        with _guard, failing("opening", f"Milvus store '{path}'"):
            if key not in _running:
                try:
                    _running[key] = cls(key)
                except DataDirLockedError as error:
                    raise StoreError(
                        f"Milvus store '{path}' is open in another process, and Milvus Lite's files belong to one "
                        "process at a time. End that process, or use a Milvus server."
                    ) from error
            _running[key]._users += 1
            return _running[key]

    def release(self) -> None:
        """Stop the server and free the folder when this was its last user."""
        with _guard:
            self._users -= 1
            if self._users:
                return
            del _running[self._path]
            self._server.stop(grace=5).wait()
            self._workers.shutdown()
            self._database.close()

    def recover(self, collection_name: str) -> None:
        """Flush what the log of a killed process brought back: written after other rows, it would be stored twice."""
        collection = self._database.get_collection(collection_name)
        if collection._memtable.size():
            collection.flush()

    def wait_for_index(self, collection_name: str) -> None:
        """Wait until the flushed rows of a collection are compacted and indexed, which happens in the background.

        Raises:
            StoreError: the background work failed; Milvus Lite only logs that.
        """
        collection = self._database.get_collection(collection_name)
        collection._wait_for_bg()
        dense = {name for name, spec in collection._index_specs.items() if not spec.index_type.startswith("SPARSE")}
        for segment in collection._segments_snapshot():
            if segment.num_rows and dense - set(segment.indexes):
                raise StoreError(
                    f"Milvus store '{self._path}': the index of collection '{collection_name}' could not be built"
                )


def _hush() -> None:
    """Keep the libraries from printing what they also report: every failed call raises, with the same text."""
    hush()
    logging.getLogger("milvus_lite.adapter.grpc.servicer").setLevel(logging.CRITICAL)
    setattr(faiss.IndexIVF, "train", _train_small)  # noqa: B010  (its type forbids an assignment)


_train: Any = faiss.IndexIVF.train


def _train_small(index: Any, *args: Any, **kwargs: Any) -> Any:
    # FAISS prints a warning to the C library's stderr below 39 rows a cell, and a segment may be small.
    index.cp.min_points_per_centroid = 1
    return _train(index, *args, **kwargs)
