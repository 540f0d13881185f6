"""Model servers as processes, with a stand-in for vLLM: started, found again, ended; what is said when they fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import confrag
from confrag.build.models.services import Service, announce, claimed, folder, named, running
from confrag.cli import main
from tests.chat import chat_server

FAKE = Path(__file__).parents[1] / "fake_vllm"
QUESTION = "When does the harbour office open?"


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKE))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Makes one that behaves as the words say; see the stand-in."""

    def make(**behaviour: Any) -> Path:
        path = tmp_path / "smol"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(behaviour), "utf-8")
        return path

    return make


@pytest.fixture
def settings(tmp_path: Path, harbour: Path) -> list[str]:
    return [
        "conf=vllm_awq",
        "store_conf=map",
        "recall=lexical",
        "~rerank",
        f"corpus.path='{harbour}'",
        f"state_dir='{tmp_path / 'state'}'",
        f"models.llm.path='{tmp_path / 'smol'}'",
        f"models.llm.python='{sys.executable}'",
        "models.llm.startup_timeout_s=60.0",
    ]


def pids(checkpoint: Path) -> list[int]:
    return [int(word) for word in (checkpoint / "pids").read_text("utf-8").split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def app_of(settings: list[str]) -> confrag.App:
    return confrag.load(None, overrides=settings)


def test_it_answers_and_ends(settings: list[str], checkpoint: Callable[..., Path]) -> None:
    path = checkpoint()
    seen: list[str] = []
    app = app_of(settings).start(progress=lambda stage, done, total: seen.append(stage))
    (server,) = pids(path)
    try:
        assert app.ask(QUESTION).text == f"answered by process {server} [1]"
        assert "start the vLLM server of 'smol', seconds" in seen
    finally:
        app.close()
    assert not alive(server)
    app.close()  # once more does no harm
    assert not list(folder(app.compiled.state_dir).iterdir())


def test_nothing_is_left_of_a_server_that_heeds_no_signal(
    settings: list[str], checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(stubborn=True)
    with app_of(settings):
        processes = pids(path)
        assert len(processes) == 2
        assert all(alive(pid) for pid in processes)
    assert not any(alive(pid) for pid in processes)


def test_the_end_of_the_log_is_shown(settings: list[str], checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    checkpoint(fails="CUDA out of memory")
    with pytest.raises(confrag.ServiceError) as caught:
        app_of(settings).start()
    message = str(caught.value)
    assert message.startswith("the vLLM server of 'smol' has ended at its start (exit code 1). The end of its log, ")
    assert str(tmp_path / "state" / "services" / "smol-") in message
    assert message.endswith("\n  loading weights\n  CUDA out of memory")
    (log,) = (tmp_path / "state" / "services").glob("*.log")
    assert log.read_text("utf-8").endswith("CUDA out of memory\n")


def test_it_takes_too_long(settings: list[str], checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(slow=600)
    with pytest.raises(confrag.ServiceError, match=r"is not ready after 2 s \(GET http://127.0.0.1:\d+/health\)"):
        app_of([*settings, "models.llm.startup_timeout_s=2.0"]).start()
    assert not any(alive(pid) for pid in pids(path))


def test_a_port_that_is_taken(settings: list[str], checkpoint: Callable[..., Path]) -> None:
    checkpoint()
    with chat_server(lambda message: "from somebody else") as other:
        port = other.url.rpartition(":")[2].removesuffix("/v1")
        with pytest.raises(confrag.UserError, match=rf"port = {port}: cannot be used \(Address already in use\); name"):
            app_of([*settings, f"models.llm.port={port}"]).start()


def test_a_failed_start_ends_it(settings: list[str], checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    path = checkpoint()
    taken = tmp_path / "taken"
    taken.write_text("not a store", "utf-8")
    with pytest.raises(confrag.ConfragError, match="was not made by confrag"):
        app_of([*settings, f"store_conf={{type: map, kwargs: {{uri: '{taken}'}}}}"]).start()
    assert not any(alive(pid) for pid in pids(path))


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """confrag in a process of its own."""
    command = [sys.executable, "-m", "confrag", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGINT))]
)
def test_it_ends_with_its_parent(settings: list[str], checkpoint: Callable[..., Path], number: signal.Signals) -> None:
    path = checkpoint(stubborn=True, slow=600)
    with process("run", *settings, f"query={QUESTION}") as parent:
        assert eventually((path / "pids").exists)
        assert eventually(lambda: len(pids(path)) == 2)
        parent.send_signal(number)
        parent.wait(60)
        assert eventually(lambda: not any(alive(pid) for pid in pids(path)))


def test_it_ends_with_its_guard(settings: list[str], checkpoint: Callable[..., Path]) -> None:
    path = checkpoint()
    with app_of(settings):
        (server,) = pids(path)
        guard = int(Path(f"/proc/{server}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
        os.kill(guard, signal.SIGKILL)
        assert eventually(lambda: not alive(server))


@contextmanager
def serving(settings: list[str]) -> Iterator[tuple[subprocess.Popen[str], Service]]:
    with process("models", "serve", *settings, "output=json") as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        state = next(word for word in settings if word.startswith("state_dir=")).partition("=")[2].strip("'")
        service = named("smol", state)
        assert told == {"model": "smol", "base_url": service.base_url, "pid": server.pid}
        yield server, service


def test_a_service_apart_is_found(settings: list[str], checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    path = checkpoint()
    with serving(settings) as (server, service):
        (first,) = pids(path)
        for _ in range(2):
            with app_of(settings) as app:
                assert app.ask(QUESTION).text == f"answered by process {first} [1]"
        assert alive(first)
        served = [word for word in settings if not word.startswith(("models.", "conf="))]
        served += ["conf=openai_compatible", "models.llm.base_url=served", "models.llm.model=smol"]
        with app_of(served) as app:
            assert app.ask(QUESTION).text == f"answered by process {first} [1]"
        # Other parameters, another server.
        with app_of([*settings, "models.llm.max_model_len=512"]) as app:
            assert pids(path) != [first]
            assert app.ask(QUESTION).text != f"answered by process {first} [1]"
        with process("models", "serve", *settings) as another:
            _, told = another.communicate(timeout=60)
        assert another.returncode == 2
        assert f"this model is served already, at {service.base_url} by process {server.pid}" in told
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    assert not alive(first)
    assert running(str(tmp_path / "state")) == []
    with pytest.raises(
        confrag.ServiceError, match=r"no service of the model 'smol' is running .* confrag models serve"
    ):
        app_of(served).start()


def test_a_service_that_was_killed_is_not_taken_for_a_live_one(
    settings: list[str], checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    path = checkpoint()
    state = str(tmp_path / "state")
    with serving(settings) as (server, _):
        (first,) = pids(path)
        server.kill()
        server.wait()
        assert list(folder(state).glob("*.json"))
        assert running(state) == []
        assert eventually(lambda: not alive(first))
        with app_of(settings) as app:
            assert app.ask(QUESTION).text != f"answered by process {first} [1]"


def test_a_service_that_ends_by_itself(settings: list[str], checkpoint: Callable[..., Path]) -> None:
    path = checkpoint()
    with serving(settings) as (server, _):
        (first,) = pids(path)
        os.kill(first, signal.SIGKILL)
        _, told = server.communicate(timeout=60)
        assert server.returncode == 4
        assert "the vLLM server of 'smol' has ended (exit code 137)" in told


def test_two_services_of_one_name(tmp_path: Path) -> None:
    state = str(tmp_path)
    one, two = (Service("smol", f"http://127.0.0.1:{port}/v1/", os.getpid(), str(port)) for port in (1, 2))
    with claimed("1", state) as first:
        announce(first, one)
        assert named("smol", state) == one
        with claimed("2", state) as second:
            announce(second, two)
            with pytest.raises(
                confrag.UserError, match=r"'smol' is served more than once, at .*:1/v1/, .*:2/v1/: name"
            ):
                named("smol", state)
        assert running(state) == [one]
    assert running(state) == []


def test_an_entry_that_cannot_be_read_is_ignored(tmp_path: Path) -> None:
    with claimed("1", str(tmp_path)) as entry:
        entry.write_text('{"model": "smol"', "utf-8")
        assert running(str(tmp_path)) == []


def test_what_cannot_be_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "serve", "llm=extractive"]) == 2
    assert "models.llm.kind = 'extractive': there is nothing to serve; kinds that can be served: vllm, local" in (
        capsys.readouterr().err
    )


def test_a_local_model_is_served(tmp_path: Path, harbour: Path) -> None:
    pytest.importorskip("xllamacpp")
    state = [f"state_dir='{tmp_path / 'state'}'"]
    with process("models", "serve", "conf=quickstart", *state, "output=json") as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert told["model"] == "smollm2-135m"
        overrides = [*state, "conf=openai_compatible", "models.llm.base_url=served", "models.llm.model=smollm2-135m"]
        overrides += ["recall=lexical", f"corpus.path='{harbour}'", "generation.max_tokens=8"]
        with app_of(overrides) as app:
            assert app.ask(QUESTION).text
