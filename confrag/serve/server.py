"""Where the service listens, and several workers behind one address.

The supervisor loads no engine. It starts the first worker, which brings the collection up to date, then the others; it
replaces one that dies, and ends them all.
"""

from __future__ import annotations

import errno
import ipaddress
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

import psutil
from prometheus_client.multiprocess import mark_process_dead

from confrag.errors import ConfragError, ServiceError, UserError
from confrag.schema.serve import ServeSpec
from confrag.serve.metrics import FOLDER

__all__ = ["Work", "listen", "supervise", "url_of"]

Work = Callable[[socket.socket, Callable[[], None], threading.Event], None]
"""What a worker does, given where it listens, what to call when it is ready, and an event that is set when it is alone;
a function of a module, so that it can be sent to another process."""

_BACKLOG = 2048
_POLL_S = 0.2
_GRACE_S = 15.0
"""For freeing models and stores, beyond `shutdown_s`."""


def listen(settings: ServeSpec) -> socket.socket:
    """Take the address.

    Raises:
        UserError: it is taken, or not this machine's.
    """
    place = f"serve.host = {settings.host!r}, serve.port = {settings.port}"
    try:
        family, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise UserError(f"{place}: there is no such host ({error.strerror})") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "something listens there already; name another port, or serve.port=0 for any free one"
        elif error.errno == errno.EACCES:
            hint = "this user may not listen there; ports from 1024 on are open to all"
        else:
            hint = str(error.strerror)
        raise UserError(f"{place}: {hint}") from None


def url_of(listening: socket.socket) -> str:
    """The address as a URL that works on this machine."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://{f'[{address}]' if address.version == 6 else address}:{port}"


def supervise(
    work: Work,
    count: int,
    listening: socket.socket,
    shutdown_s: float,
    ready: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Run workers until SIGTERM or SIGINT; a second SIGINT ends them at once.

    Args:
        work: what each of them does.
        ready: called once, when all are ready.
        say: told of workers that are replaced.

    Raises:
        ConfragError: a worker does not start.
        KeyboardInterrupt: the second SIGINT.
    """
    with tempfile.TemporaryDirectory(prefix="confrag-metrics-") as folder, _signals() as signals:
        os.environ[FOLDER] = folder
        workers: list[_Worker] = []
        try:
            workers.append(_Worker.start(work, listening))
            announced = False
            while not signals.ending:
                _look(workers)
                for worker in [worker for worker in workers if not worker.process.is_alive()]:
                    mark_process_dead(worker.process.pid, folder)  # type: ignore[no-untyped-call]
                    if not worker.ready:
                        raise worker.error()
                    say(f"confrag: worker {worker.process.pid} ended ({worker.process.exitcode}); starting another")
                    workers.remove(worker)
                if any(worker.ready for worker in workers) or announced:
                    workers += [_Worker.start(work, listening) for _ in range(count - len(workers))]
                if not announced and len(workers) == count and all(worker.ready for worker in workers):
                    announced = True
                    ready()
            _end(workers, shutdown_s, signals)
        finally:
            for worker in workers:
                worker.kill()
            del os.environ[FOLDER]


@dataclass
class _Signals:
    """What this process was told.

    Attributes:
        ending: to end.
        at_once: not to wait.
    """

    ending: bool = False
    at_once: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.at_once = self.at_once or (self.ending and number == signal.SIGINT)
        self.ending = True


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    before = {number: signal.signal(number, signals) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class _Worker:
    """A process, and the pipe to it: it says that it is ready, or why it is not; its end tells the other side."""

    process: SpawnProcess
    link: Connection
    ready: bool = False
    failure: tuple[int, str] | None = field(default=None)

    @classmethod
    def start(cls, work: Work, listening: socket.socket) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_child, args=(work, listening, theirs), name="confrag-worker")
        process.start()
        theirs.close()
        return cls(process, ours)

    def read(self) -> None:
        """Take in what it says."""
        try:
            said = self.link.recv()
        except (EOFError, OSError):
            self.process.join()  # it has gone, or is about to
            return
        if said is None:
            self.ready = True
        else:
            self.failure = said

    def error(self) -> ConfragError:
        """Why it did not get ready."""
        if self.failure is None:
            return ConfragError(f"a worker ended before it was ready (exit code {self.process.exitcode})")
        code, message = self.failure
        kinds: dict[int, type[ConfragError]] = {2: UserError, 4: ServiceError}
        return kinds.get(code, ConfragError)(message)

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        if self.process.is_alive() and self.process.pid:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
        self.process.join()
        self.link.close()


def _look(workers: list[_Worker]) -> None:
    """Wait a moment for what the workers say."""
    for link in wait([worker.link for worker in workers], _POLL_S):
        next(worker for worker in workers if worker.link is link).read()


def _end(workers: list[_Worker], shutdown_s: float, signals: _Signals) -> None:
    """Let all of them finish."""
    for worker in workers:
        worker.process.terminate()
    until = time.monotonic() + shutdown_s + _GRACE_S
    while any(worker.process.is_alive() for worker in workers) and time.monotonic() < until:
        if signals.at_once:
            raise KeyboardInterrupt
        time.sleep(0.02)


def _child(work: Work, listening: socket.socket, link: Connection) -> None:
    """A worker's process."""
    # Ctrl-C reaches all processes of a terminal: the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    alone = threading.Event()

    def watch() -> None:
        try:
            link.recv()  # nothing is sent: it returns when the supervisor has gone
        except (EOFError, OSError):
            alone.set()

    threading.Thread(target=watch, name="confrag-link", daemon=True).start()
    try:
        work(listening, lambda: link.send(None), alone)
    except ConfragError as error:
        link.send((error.exit_code, str(error)))
        raise SystemExit(error.exit_code) from None
    except Exception:  # noqa: BLE001 - it goes to the supervisor, which ends
        link.send((1, f"a worker failed:\n{traceback.format_exc()}"))
        raise SystemExit(1) from None
