"""Tokens as a model counts them: by llama.cpp, by a server that speaks as vLLM does, and by neither."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from confrag.build import prepare

prepare()

from confrag.build.models.fetch import ensure  # noqa: E402
from confrag.build.models.llama import LlamaServer  # noqa: E402
from confrag.build.models.tokens import Gpt2Tokenizer, ServerTokenizer  # noqa: E402

TEXT = "Green tea is brewed at eighty degrees; 绿茶用八十度的水。"


@contextmanager
def words_server(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """vLLM's interface; a token is a word. Yields its base URL and what was asked."""
    asked: list[dict[str, Any]] = []
    known: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, **request})
            if self.path == "/tokenize":
                words = request["prompt"].split()
                known.extend(words)
                tokens = [known.index(word) for word in words]
                body: dict[str, Any] = {"count": len(tokens), "tokens": tokens, "max_model_len": 300}
            else:
                body = {"prompt": " ".join(known[token] for token in request["tokens"])}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_server_like_vllm() -> None:
    with words_server() as (url, asked):
        tokenizer = ServerTokenizer(url, "test")
        assert tokenizer.context() == 300
        assert tokenizer.count("green tea and tea") == 4
        assert tokenizer.cut("green tea and tea", 2) == "green tea"
        assert tokenizer.context() == 300
    assert [request["path"] for request in asked] == ["/tokenize", "/tokenize", "/tokenize", "/detokenize"]
    assert all(request["model"] == "test" for request in asked)
    assert asked[1]["add_special_tokens"] is False


def test_a_server_that_does_not_tokenize() -> None:
    with words_server(404) as (url, _):
        tokenizer = ServerTokenizer(url, "test")
        assert tokenizer.count(TEXT) == Gpt2Tokenizer().count(TEXT)
        assert tokenizer.cut(TEXT, 4) == Gpt2Tokenizer().cut(TEXT, 4) == "Green tea is brewed"
        assert tokenizer.context() is None
    assert tokenizer.count(TEXT) == Gpt2Tokenizer().count(TEXT)  # it is gone altogether


@pytest.mark.models
def test_llama_cpp() -> None:
    server = LlamaServer(next(ensure("smollm2-135m").glob("*.gguf")))
    try:
        tokenizer = ServerTokenizer(server.base_url, server.alias)
        assert tokenizer.count("") == 0
        assert tokenizer.count("Green tea is brewed") == 4
        assert tokenizer.cut("Green tea is brewed", 2) == "Green tea"
        assert tokenizer.count(TEXT) != Gpt2Tokenizer().count(TEXT)
        beginnings = [tokenizer.cut(TEXT, tokens) for tokens in range(1, tokenizer.count(TEXT) + 1)]
        assert all(TEXT.startswith(beginning) for beginning in beginnings)
        assert beginnings[-1] == TEXT
        assert tokenizer.context() is None
    finally:
        server.close()


def test_gpt2() -> None:
    tokenizer = Gpt2Tokenizer()
    assert tokenizer.cut(TEXT, 10_000) == TEXT
    assert all(TEXT.startswith(tokenizer.cut(TEXT, tokens)) for tokens in range(40))
