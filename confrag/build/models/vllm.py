"""Model kind `vllm`: a vLLM server as a child process, or one that runs apart already.

LazyLLM's `deploy.Vllm` says what the command is. Its launcher does not run it: that would hand the line to a shell,
pick a port that may be taken, use no other interpreter, and leave the server running when this process is killed.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confrag.build.models.server_process import HOST, ServerProcess, free_port
from confrag.build.models.services import fingerprint, folder, running
from confrag.build.progress import ProgressFn, silent
from confrag.errors import MissingDependencyError, UserError

if TYPE_CHECKING:
    from confrag.build.models.chat import ChatModel

__all__ = ["build", "command", "interpreter_with_vllm", "mark", "served_name", "start"]

_INSTALL = "pip install 'confrag[vllm]'"
_ENVIRONMENT = {"VLLM_HOST_IP": HOST, "VLLM_NO_USAGE_STATS": "1"}
"""Nothing listens beyond this machine, and nothing is reported to anybody."""
_NOT_OF_THE_SERVER = ("port", "python", "startup_timeout_s", "state_dir", "timeout_s")


def build(*, role: str, timeout_s: float = 120.0, progress: ProgressFn = silent, **keys: Any) -> ChatModel:
    """LazyLLM's chat module for a server: one that `confrag models serve` runs with the same keys, or a new one.

    Args:
        role: ``chat``.
        timeout_s: seconds that an answer may take.
        progress: told the seconds that the start takes.
        keys: the others of `confrag.schema.vllm.VllmSpec`.

    Raises:
        MissingDependencyError: vLLM is not installed.
        UserError: there is no such model or interpreter.
        ServiceError: the server does not start; the message shows the end of its log.
    """
    from confrag.build.models.chat import ChatModel, online
    from confrag.build.models.tokens import ServerTokenizer

    def chat(base_url: str, place: str, close: Callable[[], None] = lambda: None) -> ChatModel:
        module, tokenizer = online(base_url, name, None, timeout_s), ServerTokenizer(base_url, name)
        return ChatModel(module, place, close, tokenizer=tokenizer, context=keys.get("max_model_len"))

    name, wanted = served_name(keys["path"]), mark(keys)
    place = f"the vLLM model '{name}'"
    for service in running(keys.get("state_dir")):
        if service.fingerprint == wanted:
            return chat(service.base_url, f"{place} at {service.base_url}")
    server = start(progress=progress, **keys)
    try:
        return chat(server.base_url, place, server.close)
    except BaseException:
        server.close()
        raise


def start(
    *,
    path: str,
    python: str | None = None,
    port: int = 0,
    startup_timeout_s: float = 900.0,
    state_dir: str | None = None,
    progress: ProgressFn = silent,
    **keys: Any,
) -> ServerProcess:
    """Start a server and wait until it is ready. Takes the keys of `VllmSpec`, raises what `build` does."""
    interpreter = interpreter_with_vllm(python)
    model = _model(path)
    port = free_port(port)
    name = served_name(path)
    log = folder(state_dir) / f"{name.replace('/', '--')}-{port}.log"
    server = ServerProcess(
        command(interpreter, model, name, port, **keys),
        f"http://{HOST}:{port}/v1/",
        log,
        f"the vLLM server of '{name}'",
        _ENVIRONMENT,
    )
    server.wait_until_ready(startup_timeout_s, progress)
    return server


def command(
    interpreter: str,
    model: str,
    name: str,
    port: int,
    *,
    quantization: str = "none",
    tensor_parallel_size: int = 1,
    max_model_len: int | None = None,
    gpu_memory_utilization: float | None = None,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    args: Mapping[str, Any] | None = None,
) -> list[str]:
    """Program and arguments of the server, as LazyLLM's `deploy.Vllm` gives them, with what it has no argument for."""
    import lazyllm

    given = {"max_model_len": max_model_len, "gpu_memory_utilization": gpu_memory_utilization}
    deploy = lazyllm.deploy.Vllm(
        trust_remote_code=trust_remote_code,
        launcher=lazyllm.launchers.empty(ngpus=0),
        openai_api=True,
        host=HOST,
        port=port,
        tensor_parallel_size=tensor_parallel_size,
        dtype=dtype,
        **given,
    )
    for key in [key for key, value in given.items() if value is None]:
        del deploy.kw[key]  # else its own default, or "None"
    _, *rest = shlex.split(deploy.cmd(base_model=shlex.quote(model)).cmd())
    rest[rest.index("--served-model-name") + 1] = name
    quantised = [] if quantization == "none" else ["--quantization", quantization]
    # Of a flag that comes twice, the server takes the last.
    at = rest.index("--model")
    return [interpreter, *rest[:at], *_flags(args or {}), *rest[at:], *quantised]


def served_name(path: str) -> str:
    """What requests call the model: the name of its folder, or its name on the hub."""
    return Path(path).expanduser().absolute().name if _is_folder(path) else path


def mark(keys: Mapping[str, Any]) -> str:
    """Fingerprint of the keys that determine what a server does."""
    of_server = {key: value for key, value in keys.items() if key not in _NOT_OF_THE_SERVER}
    if _is_folder(keys["path"]):
        of_server["path"] = str(Path(keys["path"]).expanduser().absolute())
    return fingerprint("vllm", of_server)


def _flags(args: Mapping[str, Any]) -> Iterator[str]:
    for name, value in args.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
            continue
        yield f"--{flag}"
        if isinstance(value, Mapping):
            yield json.dumps(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from map(str, value)
        else:
            yield str(value)


def _is_folder(path: str) -> bool:
    return path.startswith(("/", "./", "../", "~")) or Path(path).is_dir()


def _model(path: str) -> str:
    if not _is_folder(path):
        return path
    found = Path(path).expanduser().absolute()
    if not (found / "config.json").is_file():
        raise UserError(f"{found} holds no checkpoint: a folder with config.json, tokenizer and weights is wanted")
    return str(found)


def interpreter_with_vllm(python: str | None) -> str:
    """The interpreter of an environment that has vLLM: the one named, or the one that runs this.

    Raises:
        MissingDependencyError: vLLM is not installed here.
        UserError: the interpreter that is named cannot be run, or has no vLLM.
    """
    if python is None:
        if importlib.util.find_spec("vllm") is None:
            raise MissingDependencyError("vllm", _INSTALL, "the model kind 'vllm'")
        return sys.executable
    path = str(Path(python).expanduser())
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"python = '{python}': this interpreter cannot be run: {error}") from None
    if done.returncode:
        raise UserError(
            f"python = '{python}': this interpreter has no vllm. Install it with: {path} -m pip install vllm"
        )
    return path
