"""A model server in a process of its own: started, watched until it is ready, and ended with all its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from confrag.build.models import guard
from confrag.build.progress import ProgressFn, silent
from confrag.errors import ServiceError, UserError

__all__ = ["HOST", "ServerProcess", "free_port"]

HOST = "127.0.0.1"
_LAST_LINES = 20
_POLL_S = 0.1


class ServerProcess:
    """A running server. It ends with `close`, and when this process ends in any way.

    Args:
        command: program and arguments; no shell reads them.
        base_url: where it will listen, up to and including ``/v1``.
        log: file that takes what it prints; it stays only when the server has failed.
        label: how messages name it.
        environment: variables that it gets where they are not set already.

    Raises:
        UserError: the program cannot be run, or the log not be written.
    """

    def __init__(
        self, command: Sequence[str], base_url: str, log: Path, label: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.base_url = base_url
        self.log = log
        self.label = label
        self._failed = False
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_bytes(b"")
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", guard.__file__, str(os.getpid()), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**(environment or {}), **os.environ},
                    start_new_session=True,  # Ctrl-C is ours to hand on
                )
        except OSError as error:
            raise UserError(f"{error.filename or log}: {label} cannot be started: {error.strerror or error}") from None

    @property
    def pid(self) -> int:
        """The process at the root of all that was started."""
        return self._process.pid

    def wait_until_ready(self, timeout_s: float, progress: ProgressFn = silent) -> None:
        """Wait until it answers ``GET /health``.

        Args:
            timeout_s: how long, in seconds.
            progress: told the seconds that have passed.

        Raises:
            ServiceError: it has ended, or does not answer in time; the message shows the end of its log. It is closed.
        """
        begun = time.monotonic()
        stage = f"start {self.label}, seconds"
        try:
            while not self._healthy():
                elapsed = time.monotonic() - begun
                progress(stage, int(elapsed), 0)
                if (code := self._process.poll()) is not None:
                    raise ServiceError(f"{self.label} has ended at its start (exit code {code}){self._last_lines()}")
                if elapsed > timeout_s:
                    raise ServiceError(
                        f"{self.label} is not ready after {timeout_s:g} s (GET {self._health}){self._last_lines()}"
                    )
                time.sleep(_POLL_S)
        except BaseException:
            self.close()
            raise
        seconds = int(time.monotonic() - begun)
        progress(stage, seconds, seconds)

    def check(self) -> None:
        """Raise ServiceError, with the end of the log, if it has ended by itself."""
        if (code := self._process.poll()) is not None:
            raise ServiceError(f"{self.label} has ended (exit code {code}){self._last_lines()}")

    def close(self) -> None:
        """End it and all that it started. May be called more than once."""
        self._process.terminate()
        try:
            self._process.wait(guard.GRACE_S + 10)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if not self._failed:
            self.log.unlink(missing_ok=True)

    @property
    def _health(self) -> str:
        return self.base_url.rstrip("/").removesuffix("/v1") + "/health"

    def _healthy(self) -> bool:
        # No proxy of the environment's has to do with this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self._health, timeout=2.0) as response:
                return bool(response.status == 200) and self._process.poll() is None
        except (OSError, ValueError):
            return False

    def _last_lines(self) -> str:
        self._failed = True
        lines = [line for line in self.log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
        shown = "".join(f"\n  {line[:300]}" for line in lines[-_LAST_LINES:]) or "\n  (nothing)"
        return f". The end of its log, {self.log}:{shown}"


def free_port(wanted: int = 0) -> int:
    """A port of the loopback interface that nobody listens at: `wanted`, or for 0 any.

    Raises:
        UserError: somebody listens at the one that is wanted, and would be taken for the server.
    """
    with closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are just ending do not count
        try:
            listener.bind((HOST, wanted))
        except OSError as error:
            raise UserError(
                f"port = {wanted}: cannot be used ({error.strerror}); name another one, or 0 for one that is free"
            ) from None
        port: int = listener.getsockname()[1]
        return port
