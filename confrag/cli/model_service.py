"""`confrag models serve`: the answering model of a configuration, served apart from the RAG process."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from confrag.cli.arguments import parse
from confrag.cli.output import reserved_stdout, say
from confrag.cli.progress import shown
from confrag.errors import UserError

if TYPE_CHECKING:
    from confrag.build.models.serving import Served

__all__ = ["serve"]

_POLL_S = 0.2


def serve(argv: Sequence[str]) -> int:
    """Serve until interrupted; returns 0 then.

    Raises:
        UserError: the configuration's answering model is not one that is run here, or is served already.
        ServiceError: its server does not start, or ends by itself.
    """
    from confrag.build import prepare
    from confrag.config import load
    from confrag.plan import compile_plan

    arguments = parse(argv)
    if arguments.multirun or arguments.hydra:
        raise UserError("models serve works on one configuration; -m and Hydra's views belong to 'confrag run'")
    composed, config = load(None, arguments.overrides, arguments.config_dir)
    plan = compile_plan(config, composed.name)
    model = plan.model(plan.answer.model)
    with reserved_stdout() as out, _interruptible():
        prepare(verbose=config.verbose)
        from confrag.build.models.services import Service, announce, claimed
        from confrag.build.models.serving import mark_of, start

        mark = mark_of(model)
        with claimed(mark, plan.state_dir) as entry:
            with shown(config.progress) as progress:
                server = start(model, progress)
            with closing(server):
                service = Service(server.model, server.base_url, os.getpid(), mark)
                announce(entry, service)
                if config.output == "json":
                    out.write(json.dumps({"model": service.model, "base_url": service.base_url, "pid": service.pid}))
                else:
                    out.write(f"{service.model}: {service.base_url}")
                out.write("\n")
                out.flush()
                say("Ctrl-C ends it")
                _wait(server)
    return 0


def _wait(server: Served) -> None:
    try:
        while True:
            server.check()
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        say("ended")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM, as a service manager sends it, end the same way as Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stderr.flush()
