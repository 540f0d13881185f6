"""A service of the tests: a real server, in a thread of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

import confrag
from confrag.schema.serve import ServeSpec
from confrag.serve.server import listen, url_of
from confrag.serve.service import Service
from confrag.serve.worker import configured


@dataclass(frozen=True)
class Served:
    """A running service.

    Attributes:
        url: without a slash at the end.
    """

    url: str
    app: confrag.App
    service: Service


@contextmanager
def serving(app: confrag.App, **settings: Any) -> Iterator[Served]:
    """Serve at a free port of the loopback interface for as long as this lasts.

    Args:
        app: the engine; it is started, and closed at the end.
        settings: `serve` of the configuration.
    """
    app.start()
    service = Service(app, ServeSpec(**{"port": 0, **settings}))
    server = uvicorn.Server(configured(service))
    listening = listen(service.settings)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        while not (server.started and service.state == "ready"):
            assert thread.is_alive()
            time.sleep(0.01)
        yield Served(url_of(listening), app, service)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
