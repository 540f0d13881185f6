"""How LazyLLM is imported: quietly, offline, and without what nobody uses."""

from __future__ import annotations

import base64
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

__all__ = ["import_lazyllm", "offline_tokenizer", "quiet", "root_logger_kept"]


def quiet(home: Path | None = None) -> None:
    """Silence LazyLLM and keep it from tracing: call before it is imported, it reads the environment once.

    What it would log are failures that it also raises, or that our stores raise. Variables that the user has set
    stay as they are, and so does a LazyLLM that the application imported earlier.

    Args:
        home: where LazyLLM keeps its log and cache files, instead of ``~/.lazyllm``.
    """
    if "lazyllm" in sys.modules:
        return
    settings = {
        "LOG_LEVEL": "CRITICAL",
        "LOG_FILE_LEVEL": "CRITICAL",
        "LOG_FILE_MODE": "split",  # the other mode runs a thread and a semaphore
        "TRACE_ENABLED": "false",
    }
    if home is not None:
        settings["HOME"] = str(home)
    for name, value in settings.items():
        os.environ.setdefault(f"LAZYLLM_{name}", value)


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Undo what an import inside does to the root logger: LazyLLM and pymilvus call `logging.basicConfig`."""
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


def import_lazyllm(home: Path | None = None) -> None:
    """Import LazyLLM's RAG package, quiet and offline (about 1.5 s); later imports of it are free."""
    quiet(home)
    offline_tokenizer()
    with root_logger_kept(), _pandas_later():
        importlib.import_module("lazyllm.tools.rag")
    _stacks_without_sources()


@contextmanager
def _pandas_later() -> Iterator[None]:
    """Leave pandas, which LazyLLM loads when it is first used, until then: it would be used for one annotation."""
    wrapper = importlib.import_module("lazyllm.thirdparty").pandas
    if wrapper._Wrapper__lib is not None:
        yield
        return
    wrapper._Wrapper__lib = SimpleNamespace(DataFrame=object)
    try:
        yield
    finally:
        wrapper._Wrapper__lib = None


def _stacks_without_sources() -> None:
    """Let LazyLLM look at the stack without reading the source line of every frame.

    It does so for each flow and each transform that is made and uses names only; the lines cost a tenth of a second at
    the first, and more the deeper the caller is.
    """
    lean = SimpleNamespace(**{**vars(inspect), "stack": partial(inspect.stack, 0)})
    for name in ("lazyllm.flow.flow", "lazyllm.tools.rag.transform.base"):
        sys.modules[name].__dict__["inspect"] = lean


def offline_tokenizer() -> None:
    """Give tiktoken the ``gpt2`` vocabulary that LazyLLM ships, so that nothing is downloaded.

    LazyLLM's sentence splitter counts tokens with it, and `import lazyllm.tools.rag` builds such splitters: call this
    before that import. LazyLLM itself is not imported.
    """
    import tiktoken
    from tiktoken.registry import ENCODINGS
    from tiktoken_ext.openai_public import ENDOFTEXT, r50k_pat_str  # type: ignore[import-untyped]

    if "gpt2" in ENCODINGS:
        return
    package = importlib.util.find_spec("lazyllm")
    if package is None or package.origin is None:
        raise ImportError("the package 'lazyllm' is not installed")
    vocabulary = Path(package.origin).parent / "tokenizers" / "r50k_base.tiktoken"
    # Not tiktoken's own loader: it keeps a copy of the file in a cache folder, and reads that the next time.
    lines = [line.split() for line in vocabulary.read_bytes().splitlines() if line]
    ENCODINGS["gpt2"] = tiktoken.Encoding(
        "gpt2",
        pat_str=r50k_pat_str,
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in lines},
        special_tokens={ENDOFTEXT: 50256},
        explicit_n_vocab=50257,
    )
