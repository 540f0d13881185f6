"""A chat model behind a server of its own, for `confrag models serve`: vLLM, or llama.cpp in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confrag.build.models.services import fingerprint
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.plan.model import ModelPlan

__all__ = ["Served", "mark_of", "start"]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        model: the name that requests give.
        base_url: where, up to and including ``/v1``.
        close: ends it.
        check: raises ServiceError when it has ended by itself.
        pid: of the process at its root; None: this one.
    """

    model: str
    base_url: str
    close: Callable[[], None]
    check: Callable[[], None] = _nothing
    pid: int | None = None


def mark_of(model: ModelPlan) -> str:
    """Fingerprint of what the server of a model is started with.

    Raises:
        UserError: a model of this kind is not run on this machine.
    """
    if model.kind == "vllm":
        from confrag.build.models.vllm import mark

        return mark(model.params.thaw())
    if model.kind == "local":
        return fingerprint("local", {key: model.params[key] for key in ("model", "context", "threads")})
    raise UserError(
        f"models.{model.name}.kind = '{model.kind}': there is nothing to serve; kinds that can be served: vllm, local"
    )


def start(model: ModelPlan, progress: ProgressFn = silent, parallel: int = 1) -> Served:
    """Start the server of a chat model of kind `vllm` or `local`, and wait until it is ready.

    Args:
        model: of a plan.
        progress: told how far it is.
        parallel: requests that llama.cpp computes at once; vLLM decides that itself.

    Raises:
        UserError: there is no such model, or it cannot be loaded.
        ServiceError: the server does not start.
    """
    keys = model.params.thaw()
    if model.kind == "vllm":
        from confrag.build.models import vllm

        keys.pop("timeout_s")
        server = vllm.start(progress=progress, **keys)
        return Served(vllm.served_name(keys["path"]), server.base_url, server.close, server.check, server.pid)
    from confrag.build.models.local import build_chat_server

    llama = build_chat_server(
        model=keys["model"], context=keys["context"], threads=keys["threads"], parallel=parallel, progress=progress
    )
    return Served(llama.alias, llama.base_url, llama.close)
