"""Verb `serve`: an HTTP service and a web page over one configuration."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from confrag.cli.arguments import parse
from confrag.cli.output import reserved_stdout, say
from confrag.cli.progress import shown
from confrag.config import load
from confrag.errors import UserError
from confrag.plan import Plan, compile_plan
from confrag.registry import load_plugins

if TYPE_CHECKING:
    from confrag.config import Config

__all__ = ["USAGE", "serve"]

USAGE = {
    "serve": """\
usage: confrag serve [conf=NAME] [serve=OPTION] [override ...]

Brings the store up to date and answers over HTTP until it is ended: the web page at /, the interface at /docs,
OpenAI's interface below /v1. Prints the address when questions are answered.

  serve.port=8000           0: any free one
  serve.workers=1           processes over one collection, each with its own models
  serve.ui=page|lazyllm|none
  serve=network             for other machines: serve.host=0.0.0.0; needs a token
  output=json               one line {"url": ..., "pid": ...} on standard output

Tokens stand in environment variables: CONFRAG_READ_TOKEN may ask, CONFRAG_WRITE_TOKEN may change documents, too:
  export CONFRAG_WRITE_TOKEN=$(python -c "import secrets; print(secrets.token_urlsafe(32))")

Ctrl-C or SIGTERM: no new requests, answers under way are finished (serve.shutdown_s), exit code 0. A second Ctrl-C ends
it at once.

example:
  confrag serve conf=rag_final corpus.path=docs &
  curl -d '{"query": "What is it about?"}' -H 'Content-Type: application/json' http://127.0.0.1:8000/api/ask"""
}


def serve(argv: Sequence[str]) -> int:
    """Serve until ended.

    Raises:
        UserError: an address that cannot be used, or one that others reach and no token.
    """
    arguments = parse(argv)
    if arguments.multirun or arguments.hydra:
        raise UserError("serve works on one configuration; -m and Hydra's views belong to 'confrag run'")
    composed, config = load(None, arguments.overrides, arguments.config_dir)
    plan, settings = compile_plan(config, composed.name), config.serve
    from confrag.serve.lazyllm_page import check_page
    from confrag.serve.security import Tokens, check_exposure
    from confrag.serve.server import listen, supervise, url_of

    tokens = Tokens.of(settings)
    check_page(settings, tokens)
    check_exposure(settings, tokens)
    with reserved_stdout() as out, closing(listen(settings)) as listening:
        url = url_of(listening)

        def ready() -> None:
            if config.output == "json":
                out.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
            else:
                out.write(f"{plan.name}: {url}\n")
            out.flush()
            say("Ctrl-C ends it")

        if settings.workers == 1:
            _work(plan, config, listening, ready)
        else:
            supervise(partial(_work, plan, config), settings.workers, listening, settings.shutdown_s, ready, say)
    say("ended")
    return 0


def _work(
    plan: Plan,
    config: Config,
    listening: socket.socket,
    ready: Callable[[], None],
    supervised: threading.Event | None = None,
) -> None:
    """What one worker does."""
    from confrag.build import prepare

    if supervised:
        load_plugins()  # a process of its own knows the kinds of confrag only
    prepare(verbose=config.verbose)
    from confrag.cli.text import announce, announce_work
    from confrag.runtime.app import App
    from confrag.serve.worker import run

    app = App(plan, may_be_empty=True)  # documents may come later
    with shown(config.progress) as progress:

        def up() -> None:
            announce(app, app.corpus)
            ready()

        run(app, config.serve, listening, progress, lambda work: announce_work(app, work), up, supervised)
