"""The service under load: cached answers beside a bare route, and whether a long mixed load leaves anything behind.

    python docs/benchmarks/serve.py throughput [--workers N] [--rounds N] [--seconds N]
    python docs/benchmarks/serve.py soak [--conf PRESET] [--seconds N] [--rate N]

Every server is a process of its own, on a free port of the loopback interface. `throughput` needs wrk (Debian:
apt-get install wrk); the two servers are asked in turn in the same run. Medians count, and of what is compared the
medians of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket
from statistics import median
from typing import Any

import httpx
import psutil
from mixed_load import MixedLoad

CONNECTIONS = 64
QUESTION = "When does the last ferry leave?"
CACHED = ("llm=extractive", "cache=exact", "cache.scope=answer", "cache.backend=memory")


@dataclass(frozen=True)
class Server:
    """A process that listens.

    Attributes:
        url: without a slash at the end.
    """

    url: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Processor time of it and its workers so far, in seconds."""
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return sum(spent.user + spent.system for spent in times)


@contextmanager
def started(*arguments: str) -> Iterator[Server]:
    """A process that prints its address as a line of JSON when it is ready; it is ended by SIGTERM."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                sys.exit(f"{' '.join(arguments)}: it did not start")
            yield Server(json.loads(line)["url"], psutil.Process(process.pid))
        finally:
            process.terminate()


def service(state: Path, *overrides: str) -> Any:
    """`confrag serve` at a free port."""
    return started("-m", "confrag", "serve", f"state_dir={state}", "serve.port=0", "output=json", *overrides)


@dataclass(frozen=True)
class Load:
    """What wrk measured.

    Attributes:
        rate: requests/s.
        p50, p99: latencies in milliseconds.
        cpu: of the server, in microseconds for each request.
    """

    rate: float
    p50: float
    p99: float
    cpu: float


UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def measure(server: Server, path: str, body: dict[str, Any], seconds: int, work: Path) -> Load:
    """Send the same request over all connections, each as soon as the one before is answered."""
    time.sleep(1)  # questions that wrk has hung up on are still answered
    script = work / "post.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = [==[{json.dumps(body)}]==]\nwrk.headers['Content-Type'] = 'application/json'"
    )
    before = server.cpu_s()
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=30s", "--latency", "-s", str(script)]
    said = subprocess.run(["wrk", *options, server.url + path], capture_output=True, text=True, check=True).stdout
    cpu = server.cpu_s() - before
    if re.search("Non-2xx|Socket errors", said):
        sys.exit(f"{path}: not every request was answered\n{said}")
    (count,), (rate,) = re.findall(r"(\d+) requests in", said), re.findall(r"Requests/sec: +([\d.]+)", said)
    p50, p99 = (float(number) * UNITS[unit] for number, unit in re.findall(r"(?:50|99)% +([\d.]+)(us|ms|s)", said))
    return Load(float(rate), p50, p99, cpu / int(count) * 1e6)


def throughput(work: Path, workers: int, rounds: int, seconds: int) -> None:
    """Cached answers against a bare route that returns the same bytes, in turn; then other requests."""
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    with ExitStack() as stack:
        ours = stack.enter_context(service(work / "state", *CACHED, f"serve.workers={workers}"))
        body = {"query": QUESTION}
        chat = {"model": "quickstart", "messages": [{"role": "user", "content": QUESTION}]}
        for _ in range(20 * workers):  # until every worker has the answers at hand
            httpx.post(f"{ours.url}/v1/chat/completions", json=chat).raise_for_status()
            answer = httpx.post(f"{ours.url}/api/ask", json=body).raise_for_status()
        (work / "answer.json").write_bytes(answer.content)
        plain = stack.enter_context(started(__file__, "bare", str(work / "answer.json"), "--workers", str(workers)))
        runs: dict[str, list[Load]] = {"/api/ask": [], "bare": [], "/v1/chat/completions": []}
        for _ in range(rounds):
            runs["/api/ask"].append(measure(ours, "/api/ask", body, seconds, work))
            runs["bare"].append(measure(plain, "/bare", body, seconds, work))
            runs["/v1/chat/completions"].append(measure(ours, "/v1/chat/completions", chat, seconds, work))
        others = {
            "/api/ask, streamed": ("/api/ask", {**body, "stream": True}),
            "/api/retrieve (not cached)": ("/api/retrieve", body),
        }
        for name, (path, request) in others.items():
            runs[name] = [measure(ours, path, request, seconds, work) for _ in range(min(rounds, 3))]
    print(f"{workers} worker(s), {CONNECTIONS} connections, {len(answer.content):,} bytes\n")
    print("| | requests/s | of bare | p50, ms | p99, ms | p99 / p50 | CPU, us |\n|---|---:|---:|---:|---:|---:|---:|")
    for name, loads in runs.items():
        rate, p50, p99, cpu = (
            median(getattr(one, figure) for one in loads) for figure in ("rate", "p50", "p99", "cpu")
        )
        # Of neighbours, which meet the same machine.
        share = median(one.rate / other.rate for one, other in zip(loads, runs["bare"], strict=False))
        tail = median(one.p99 / one.p50 for one in loads)
        print(f"| {name} | {rate:,.0f} | {share:.2f} | {p50:.1f} | {p99:.1f} | {tail:.1f} | {cpu:.0f} |")


def bare(answer: Path, workers: int) -> None:
    """Serve a file's bytes at /bare as confrag serves: the same uvicorn with the same settings, the same processes."""
    from confrag.schema.serve import ServeSpec
    from confrag.serve.server import listen, supervise, url_of

    listening = listen(ServeSpec(port=0))
    announce = partial(print, json.dumps({"url": url_of(listening)}), flush=True)
    if workers == 1:
        bare_worker(answer, listening, announce)
    else:
        supervise(partial(bare_worker, answer), workers, listening, 1, announce, print)


def bare_worker(
    answer: Path, listening: socket, ready: Callable[[], None], alone: threading.Event | None = None
) -> None:
    import uvicorn
    from fastapi import FastAPI, Response

    content = answer.read_bytes()
    app = FastAPI(on_startup=[ready])

    @app.post("/bare")
    async def same_bytes() -> Response:
        return Response(content, media_type="application/json")

    quiet: dict[str, Any] = {"server_header": False, "access_log": False, "log_level": "error", "log_config": None}
    config = uvicorn.Config(app, timeout_keep_alive=75, ws="none", **quiet)
    uvicorn.Server(config).run(sockets=[listening])


def soak(work: Path, preset: str, seconds: float, rate: float) -> None:
    """Mixed requests at a fixed rate: memory, threads and file handles of the service on the way."""
    overrides = (f"conf={preset}", *CACHED, "cache.max_entries=100", "+doc_fields.year=int")
    with service(work / "state", *overrides) as server, ThreadPoolExecutor(1) as pool:
        mixed = MixedLoad(server.url, rate)
        # Many at once, so that every thread that may be there is there from the beginning.
        urls, bodies = [f"{server.url}/api/ask"] * 32, [{"query": f"{QUESTION} {number}"} for number in range(32)]
        with ThreadPoolExecutor(32) as clients:
            list(clients.map(lambda url, body: httpx.post(url, json=body, timeout=60), urls, bodies))
        print("| after | MB | threads | file handles | requests | errors |\n|---|---:|---:|---:|---:|---:|")
        memory = {}
        for percent in (20, 40, 60, 80, 100):
            sending = pool.submit(asyncio.run, mixed.run(seconds / 5))
            samples = []
            while not sending.done():
                samples.append(server.process.memory_info().rss / 2**20)
                time.sleep(0.2)
            sending.result()
            # The median of the later half: an ingest that is under way takes some for a moment.
            memory[percent] = median(samples[len(samples) // 2 :])
            threads, handles = at_rest(server)
            count, errors = sum(mixed.sent.values()), len(mixed.errors)
            line = f"| {percent} % | {memory[percent]:.1f} | {threads} | {handles} | {count:,} | {errors} |"
            print(line, flush=True)
    print(f"\nmemory after 80 % / 40 %: {memory[80] / memory[40]:.3f}; slowest request {mixed.slowest_s:.1f} s")
    print(", ".join(f"{kind} {count}" for kind, count in sorted(mixed.sent.items())))
    if mixed.errors:
        sys.exit("\n".join(mixed.errors[:10]))


def at_rest(server: Server) -> tuple[int, int]:
    """Threads and file handles of a service that has nothing to do."""
    time.sleep(11)  # threads of the event loop's pool are let go when they have been idle for ten seconds,
    httpx.get(f"{server.url}/list_files").raise_for_status()  # and one has work again
    return server.process.num_threads(), server.process.num_fds()


def main() -> None:
    """Run one of them and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="keep files and stores here instead of a temporary folder")
    modes = parser.add_subparsers(dest="mode", required=True, metavar="throughput|soak")
    one = modes.add_parser("throughput")
    one.add_argument("--workers", type=int, default=1)
    one.add_argument("--rounds", type=int, default=7)
    one.add_argument("--seconds", type=int, default=3, help="of each round")
    one = modes.add_parser("soak")
    one.add_argument("--conf", default="map", help="preset")
    one.add_argument("--seconds", type=float, default=300)
    one.add_argument("--rate", type=float, default=20, help="requests/s")
    one = modes.add_parser("bare")
    one.add_argument("answer", type=Path)
    one.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.mode == "bare":
        bare(arguments.answer, arguments.workers)
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if arguments.mode == "throughput":
            throughput(work, arguments.workers, arguments.rounds, arguments.seconds)
        else:
            soak(work, arguments.conf, arguments.seconds, arguments.rate)


if __name__ == "__main__":
    main()
