"""A server with vLLM's flags, run as ``python -m vllm.entrypoints.openai.api_server``.

The checkpoint's ``config.json`` says what it does: ``{"fails": "a message"}`` ends with it, ``{"slow": 60}`` is not
ready for so many seconds, ``{"stubborn": true}`` starts a child in a session of its own, and neither of them heeds
SIGTERM. It writes the ids of its processes beside it, into ``pids``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--served-model-name")
    parser.add_argument("--host", default="0.0.0.0")  # as vLLM has it
    parser.add_argument("--port", type=int)
    flags, others = parser.parse_known_args()
    settings: dict[str, Any] = json.loads((flags.model / "config.json").read_text("utf-8"))
    sys.stderr.write(f"other flags: {others}\n")
    pids = [os.getpid()]
    if settings.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pids.append(subprocess.Popen([sys.executable, "-c", _STUBBORN], start_new_session=True).pid)
    (flags.model / "pids").write_text(" ".join(map(str, pids)), "utf-8")
    if "fails" in settings:
        sys.exit(f"loading weights\n{settings['fails']}")
    time.sleep(settings.get("slow", 0))
    server = ThreadingHTTPServer((flags.host, flags.port), _handler(flags.served_model_name))
    server.serve_forever(poll_interval=0.05)


def _handler(name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"/health": {}, "/version": {"version": "0.0.0"}, "/v1/models": {"data": [{"id": name}]}}
            self._send(answers[self.path])

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if request["model"] != name:
                self.send_error(404)
                return
            text = f"answered by process {os.getpid()} [1]"
            if request.get("stream"):
                self._stream(text)
                return
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            self._send({"id": "1", "object": "chat.completion", "choices": [choice]})

        def _stream(self, text: str) -> None:
            words = [f"{word} " for word in text.split()]
            events: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
            events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            events.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(words)}})
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for data in (*map(json.dumps, events), "[DONE]"):
                self.wfile.write(f"data: {data}\n\n".encode())

        def _send(self, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


if __name__ == "__main__":
    main()
