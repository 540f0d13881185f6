"""Chat models in GGUF: llama.cpp's own OpenAI-compatible server, inside this process (package xllamacpp)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from confrag.build.models.pool import cores
from confrag.errors import MissingDependencyError, UserError

_SILENT, _INFO = 0, 3


class LlamaServer:
    """A running server on a free port of the loopback interface.

    Requests beyond `parallel` wait for their turn. A prompt longer than `context` is answered with HTTP 400 and the
    error type ``exceed_context_size_error``.

    Args:
        path: the ``.gguf`` file; it brings its chat template.
        context: tokens of prompt and answer together, of each request.
        threads: of the computation; 0: as many as there are cores.
        parallel: requests computed at once.
        alias: what requests call the model; left out: the name of the file.
        verbose: let llama.cpp write its log to standard error.

    Raises:
        MissingDependencyError: xllamacpp is not installed.
        UserError: the file cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int = 2048,
        threads: int = 0,
        parallel: int = 1,
        alias: str | None = None,
        verbose: bool = False,
    ) -> None:
        xllamacpp = load_engine()
        _check(path)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        self.alias = alias or path.stem
        params.model_alias = {self.alias}  # else a client would see the path
        params.n_ctx = context * parallel  # llama.cpp shares it out among the requests
        params.n_parallel = parallel
        params.cpuparams.n_threads = cores(threads)
        params.cpuparams_batch.n_threads = cores(threads)
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.cors_origins = ""  # no web page may read the answers
        params.ui = False
        params.endpoint_slots = False
        params.cache_ram_mib = 0  # finished prompts would be kept in up to 8 GiB of memory
        params.verbosity = _INFO if verbose else _SILENT
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise UserError(
                f"llama.cpp cannot load {path} with a context of {context} tokens: {error} "
                "verbose=true shows its log; a newer xllamacpp may know the model."
            ) from error
        self._base_url = f"{self._server.listening_address}/v1/"

    @property
    def base_url(self) -> str:
        """Where an OpenAI client finds it: ``http://127.0.0.1:PORT/v1/``."""
        return self._base_url

    def close(self) -> None:
        """End the server, its threads and what it is computing; free the port and the model."""
        self._server = None  # the destructor stops it and waits


def load_engine() -> ModuleType:
    """The package xllamacpp.

    Raises:
        MissingDependencyError: it is not installed.
        UserError: it cannot be loaded.
    """
    try:
        with _passive_openmp():
            import xllamacpp
    except ModuleNotFoundError as error:
        raise MissingDependencyError("xllamacpp", "pip install 'confrag[local-llm]'", "a local chat model") from error
    except ImportError as error:
        hint = " (on Debian and Ubuntu: apt install libgomp1)" if "libgomp" in str(error) else ""
        raise UserError(f"a local chat model needs xllamacpp, which cannot be loaded: {error}{hint}") from error
    return cast(ModuleType, xllamacpp)


@contextmanager
def _passive_openmp() -> Iterator[None]:
    # OpenMP's threads otherwise spin while they wait for one another; where the cores are not all ours, that makes an
    # answer ten times slower. The library reads the variable when it is loaded; child processes must not inherit it.
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_WAIT_POLICY"]


def _check(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"there is no model file {path}")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise UserError(f"{path} is not a GGUF file, the format of llama.cpp")


__all__ = ["LlamaServer", "load_engine"]
