"""LazyLLM is imported without a network, a word, pandas, and without touching the application's logging."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, sys
from confrag.build.private.imports import import_lazyllm
import_lazyllm(home={home!r})
assert logging.root.handlers == [] and logging.root.level == logging.WARNING
assert "pandas" not in sys.modules
from lazyllm.thirdparty import pandas
assert pandas.DataFrame.__module__.startswith("pandas")
import confrag.build.stores.chroma, confrag.build.stores.map, confrag.build.stores.milvus
assert logging.root.handlers == [] and logging.root.level == logging.WARNING
import tiktoken
from lazyllm.tools.rag import DocNode, SentenceSplitter
pieces = SentenceSplitter(chunk_size=20, chunk_overlap=0)(DocNode(text="A sentence of some words. " * 20))
assert len(pieces) > 5, pieces
gpt2 = tiktoken.get_encoding("gpt2")
assert all(len(gpt2.encode_ordinary(getattr(piece, "text", piece))) <= 20 for piece in pieces)
assert gpt2.encode_ordinary("hello world") == [31373, 995]
"""


def test_no_network_and_no_word(tmp_path: Path) -> None:
    proxy = "http://127.0.0.1:9"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LAZYLLM_", "TIKTOKEN_"))}
    environment |= {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "TIKTOKEN_CACHE_DIR": str(tmp_path / "empty")}
    program = PROGRAM.format(home=str(tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "empty").exists()
