"""Milvus Lite in this process: one server for a data folder, shared by the stores that name it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from confrag.build.private import root_logger_kept
from confrag.build.stores.failures import failing
from confrag.errors import StoreError

with root_logger_kept():
    import faiss
    import grpc  # type: ignore[import-untyped]
    from milvus_lite import DataDirLockedError, MilvusLite
    from milvus_lite.adapter.grpc.servicer import MilvusServicer
    from pymilvus import DataType as FieldType
    from pymilvus import MilvusClient
    from pymilvus.grpc_gen import milvus_pb2_grpc

__all__ = ["FieldType", "LocalServer", "MilvusClient"]

_MAX_MESSAGE_BYTES = 256 * 1024 * 1024

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
    logging.getLogger("milvus_lite.adapter.grpc.servicer").setLevel(logging.CRITICAL)
    logging.getLogger("pymilvus.decorators").addFilter(_not_an_rpc_error)
    setattr(faiss.IndexIVF, "train", _train_small)  # noqa: B010  (its type forbids an assignment)


def _not_an_rpc_error(record: logging.LogRecord) -> bool:
    return record.funcName != "_log_rpc_error"


_train: Any = faiss.IndexIVF.train


def _train_small(index: Any, *args: Any, **kwargs: Any) -> Any:
    # FAISS prints a warning to the C library's stderr below 39 rows a cell, and a segment may be small.
    index.cp.min_points_per_centroid = 1
    return _train(index, *args, **kwargs)
