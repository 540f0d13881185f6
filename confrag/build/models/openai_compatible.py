"""Model kind `openai_compatible`: a chat server with the interface of OpenAI."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from confrag.build.progress import ProgressFn, silent
from confrag.errors import ServiceError, UserError

if TYPE_CHECKING:
    from confrag.build.models.chat import ChatModel

__all__ = ["build", "verify"]


def build(
    *,
    role: str,
    base_url: str,
    model: str,
    api_key_env: str | None = None,
    timeout_s: float = 60.0,
    verify_at_start: bool = True,
    progress: ProgressFn = silent,
) -> ChatModel:
    """LazyLLM's chat module for the server.

    Raises:
        ServiceError: with `verify_at_start`, the server does not answer.
        UserError: it does not serve the model; or the environment variable of the key is not set.
    """
    from confrag.build.models.chat import ChatModel, online

    key = _key(base_url, api_key_env)
    if verify_at_start:
        verify(base_url, model, api_key_env, min(timeout_s, 10.0))
    return ChatModel(online(base_url, model, key, timeout_s), f"the chat model '{model}' at {base_url}")


def _key(base_url: str, api_key_env: str | None) -> str | None:
    key = os.environ.get(api_key_env) if api_key_env else None
    if api_key_env and not key:
        raise UserError(f"the environment variable {api_key_env} is not set; it must hold the key for {base_url}")
    return key


def verify(base_url: str, model: str, api_key_env: str | None, timeout_s: float) -> None:
    """Ask the server which models it serves.

    Raises:
        ServiceError: it does not answer.
        UserError: it does not serve the model; or the environment variable of the key is not set.
    """
    key = _key(base_url, api_key_env)
    url = f"{base_url.rstrip('/')}/models"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            served = [str(entry.get("id")) for entry in json.load(response).get("data", [])]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return  # Some servers have no list of models; the first question will tell.
        hint = "; check the key" if error.code in (401, 403) else ""
        raise ServiceError(f"the chat server at {base_url} answered GET {url} with HTTP {error.code}{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ServiceError(
            f"the chat server at {base_url} does not answer (GET {url}: {reason}). Start it, for example with "
            f"'vllm serve {model}' or 'llama-server -m FILE.gguf', or name another one with models.llm.base_url=URL"
        ) from None
    if served and model not in served:
        raise UserError(
            f"the chat server at {base_url} does not serve the model '{model}'; it serves: {', '.join(served)}"
        )
