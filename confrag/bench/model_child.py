"""What runs in the processes of the bench `model`: one server each, and requests to it."""

from __future__ import annotations

import json
import os
import statistics
import time
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import count
from typing import Any

from confrag.errors import ServiceError

__all__ = ["measure"]

_PASSAGE = (
    "The line was founded in 1911 by Ida Marsh, a schoolteacher who was tired of rowing her pupils across the lake. "
    "Her first boat was a steam launch of 14 metres, bought second-hand from a quarry that had gone out of business. "
    "In the first summer it carried 6,400 passengers. The lighthouse was lit for the first time in 1923; until then, "
    "captains steered by a lantern that the innkeeper hung out at dusk. "
)
"""Some two hundred tokens of a prompt, as a few retrieved passages make."""
_PASSAGES = 2
_TIMEOUT_S = 600.0


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Start the server of a configuration's answering model and ask it.

    Args:
        job: ``overrides``, ``config_dir``, ``tokens`` (of an answer), ``at_once`` (numbers of requests), ``rounds``.

    Returns:
        ``load_s``, ``rounds`` (of each: requests at once, median time to the first token in ms, tokens per second),
        ``memory_mb``, and ``version`` of vLLM, or None.
    """
    from confrag.build import prepare
    from confrag.config import load
    from confrag.plan import compile_plan

    composed, config = load(None, job["overrides"], job["config_dir"])
    plan = compile_plan(config, composed.name)
    prepare()
    from confrag.build.models.serving import start

    before = _resident(os.getpid())
    begun = time.perf_counter()
    server = start(plan.model(plan.answer.model), parallel=max(job["at_once"]))
    load_s = time.perf_counter() - begun
    with closing(server):
        client = _Client(server.base_url, server.model, job["tokens"])
        client.ask()  # what is set up with the first request belongs to no answer
        rounds = [(number, *client.round(number)) for number in job["at_once"] for _ in range(job["rounds"])]
        memory = _resident(server.pid) if server.pid else _resident(os.getpid()) - before
        version = client.version()
    return {"load_s": load_s, "rounds": rounds, "memory_mb": memory / 1e6, "version": version}


class _Client:
    """Sends requests of the same size that differ from their first word on."""

    def __init__(self, base_url: str, model: str, tokens: int) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._url = f"{self._root}/v1/chat/completions"
        self._model = model
        self._tokens = tokens
        self._numbers = count(1)
        # No proxy of the environment's has to do with this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def round(self, at_once: int) -> tuple[float, float]:
        """So many requests at once: median time to the first token in ms, and tokens per second of all together."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(at_once) as threads:
            answers = list(threads.map(lambda _: self.ask(), range(at_once)))
        seconds = time.perf_counter() - begun
        first = statistics.median(first for first, _ in answers)
        return first * 1000, sum(tokens for _, tokens in answers) / seconds

    def version(self) -> str | None:
        """Of vLLM, which may live in another environment than this process."""
        try:
            with self._opener.open(f"{self._root}/version", timeout=_TIMEOUT_S) as response:
                return str(json.load(response)["version"])
        except (OSError, ValueError, KeyError):
            return None

    def ask(self) -> tuple[float, int]:
        """Seconds to the first token, and the number of tokens."""
        content = f"({next(self._numbers)}) {_PASSAGE * _PASSAGES}\nTell the history of the line in your own words."
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        first, tokens = 0.0, 0
        begun = time.perf_counter()
        with self._opener.open(request, timeout=_TIMEOUT_S) as response:
            for line in response:
                name, _, data = line.decode().partition(":")
                if name != "data" or data.strip() == "[DONE]":
                    continue
                event = json.loads(data)
                if not first and any(choice.get("delta", {}).get("content") for choice in event["choices"]):
                    first = time.perf_counter() - begun
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        if not (first and tokens):
            raise ServiceError(f"POST {self._url} gave no text, or did not say of how many tokens")
        return first, tokens


def _resident(pid: int) -> int:
    """Resident memory of a process and all below it, in bytes."""
    import psutil

    root = psutil.Process(pid)
    total = 0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total
