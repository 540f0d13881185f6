"""One worker: uvicorn over one engine, until a signal ends it."""

from __future__ import annotations

import gc
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import psutil
import uvicorn

from confrag.build.document import build_store_conf
from confrag.build.progress import ProgressFn
from confrag.errors import UserError
from confrag.runtime.app import App
from confrag.runtime.places import belongs_to_one_process, collection_dir
from confrag.runtime.work import Work
from confrag.schema.serve import ServeSpec
from confrag.serve.app import create_app
from confrag.serve.service import Service

__all__ = ["configured", "end_at_once", "run"]

_INTERRUPTED = 130
_OWN_THREADS = "confrag-ask"
_LINGER_S = 1.0
_KEEP_ALIVE_S = 75
"""Longer than clients (httpx: 5 s) and proxies (60 s) keep an idle connection: they should be who closes it, since a
request that is sent just when the server does so is lost."""


def run(
    app: App,
    settings: ServeSpec,
    listening: socket.socket,
    progress: ProgressFn,
    told: Callable[[Work], None],
    ready: Callable[[], None],
    supervised: threading.Event | None = None,
) -> None:
    """Answer requests until SIGTERM or SIGINT; answers that are under way then are finished first.

    Args:
        listening: where requests come in.
        progress, told: as in `App.start`.
        ready: called once, when questions are answered.
        supervised: set when the process that looks after this one has gone. Such a worker accepts requests only when
            its engine is ready, since others are there for them, and leaves it to its supervisor to lose patience.

    Raises:
        UserError, ServiceError, StoreError: the engine does not start.
    """
    service = Service(app, settings, progress, told)
    failed: list[Exception] = []

    def started(error: Exception | None) -> None:
        if error is None:
            # What is there now stays: to look through 200,000 objects again takes 0.2 s, in which nobody is answered.
            gc.collect()
            gc.freeze()
            ready()
        elif service.state != "closing":
            failed.append(error)
            server.should_exit = True

    if supervised:
        if settings.workers > 1:
            _check_shared(app)
        # Until uvicorn has its own handler: unwind, so that what was started is ended.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        service.start()
    server = _Server(configured(service, started), service, patient=supervised is not None)
    if supervised:
        threading.Thread(target=server.end_after, args=(supervised,), name="confrag-parent", daemon=True).start()
    server.run(sockets=[listening])
    if failed:
        raise failed[0]
    _leave_nobody_waiting()


def configured(service: Service, started: Callable[[Exception | None], None] | None = None) -> uvicorn.Config:
    """How uvicorn runs a service; arguments as in `create_app`."""
    return uvicorn.Config(
        create_app(service, started),
        timeout_graceful_shutdown=math.ceil(service.settings.shutdown_s),
        timeout_keep_alive=_KEEP_ALIVE_S,
        server_header=False,
        access_log=False,
        log_level="error",
        log_config=None,
        ws="none",
    )


class _Server(uvicorn.Server):
    """uvicorn, for which a signal is a normal end: the process goes on to exit with 0."""

    def __init__(self, config: uvicorn.Config, service: Service, *, patient: bool) -> None:
        super().__init__(config)
        self._service = service
        self._patient = patient

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and sig == signal.SIGINT and not self._patient:
            end_at_once(_INTERRUPTED)
        self._service.stop()
        self.should_exit = True

    def end_after(self, event: threading.Event) -> None:
        """End when something has happened."""
        event.wait()
        self.handle_exit(signal.SIGTERM, None)


def _check_shared(app: App) -> None:
    """Raises UserError when the store cannot be opened by several workers."""
    plan = app.compiled
    if reason := belongs_to_one_process(build_store_conf(plan, collection_dir(plan))):
        raise UserError(f"serve.workers: several workers cannot share this store. {reason}. Set serve.workers=1")


def _leave_nobody_waiting() -> None:
    """End the process now, if threads are still at work after `shutdown_s`: Python would wait for them."""
    until = time.monotonic() + _LINGER_S
    while working := [thread for thread in threading.enumerate() if thread.name.startswith(_OWN_THREADS)]:
        if time.monotonic() > until:
            sys.stderr.write(f"confrag: {len(working)} questions were not finished in time (serve.shutdown_s)\n")
            end_at_once(0)
        time.sleep(0.02)


def end_at_once(code: int) -> None:
    """End this process and all that it has started."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
