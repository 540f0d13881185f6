"""Model kind `custom_http`: any server that speaks JSON, by a template of the request and a path into the answer.

Values are put into the decoded template and never into its text, so that no quote or brace in a question can change
what is asked for. Keys come from environment variables and go into headers alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from confrag.build.models.endpoint import Endpoint
from confrag.build.models.openai_compatible import ROLES
from confrag.build.models.resilience import Calls
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.schema.models import HEADER_VARIABLE, placeholders

__all__ = ["CustomChat", "build", "fill", "find", "resolved"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def build(
    *,
    role: Literal["chat", "embed"],
    url: str,
    body: Mapping[str, Any],
    response: str,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    retries: int = 3,
    backoff_s: float = 1.0,
    concurrency: int = 8,
    rate_limit: int | None = None,
    fallback: Sequence[str] = (),
    batch_texts: int = 32,
    batch_chars: int = 60_000,
    query_prefix: str = "",
    passage_prefix: str = "",
    progress: ProgressFn = silent,
) -> Any:
    """A ChatModel or an Embedder, as the role says.

    Raises:
        UserError: an environment variable that a header names is not set.
    """
    place = f"the {ROLES[role]} model at {url}"
    sent, secrets = resolved(headers or {})
    calls = Calls(retries=retries, backoff_s=backoff_s, concurrency=concurrency, rate_limit=rate_limit)
    endpoint = Endpoint(url, place, calls, timeout_s, sent, secrets, method)
    if role == "chat":
        from confrag.build.models.chat import ChatModel

        return ChatModel(CustomChat(endpoint, body, response), place, endpoint.close, calls)
    from confrag.build.models.served import ServedEmbedder

    one_by_one = "texts" not in placeholders(body)

    def vectors(answer: Any, count: int) -> Any:
        found = find(answer, response)
        return [found] if one_by_one and found and not isinstance(found[0], list) else found

    return ServedEmbedder(
        endpoint,
        lambda texts: fill(body, {"texts": texts, "text": texts[0]}),
        vectors,
        batch_texts=1 if one_by_one else batch_texts,
        batch_chars=batch_chars,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
    )


class CustomChat:
    """A chat module like LazyLLM's, of which `confrag.build.models.talk` uses these three doors.

    Args:
        endpoint: where requests go.
        body: template of a request.
        response: path to the text in the answer.
        prompt: LazyLLM's prompter.
    """

    def __init__(self, endpoint: Endpoint, body: Mapping[str, Any], response: str, prompt: Any = None) -> None:
        self._endpoint = endpoint
        self._body = body
        self._response = response
        self._prompt = prompt

    def share(self, prompt: Any = None) -> CustomChat:
        """The same model, with a prompt of its own."""
        return CustomChat(self._endpoint, self._body, self._response, prompt or self._prompt)

    def used_by(self, key: str) -> None:
        """LazyLLM counts tokens by this key; what a server of any kind says of them is not known."""

    def __call__(
        self, message: Any, *, temperature: float, max_tokens: int, stream_output: Any = False, max_retries: int = 1
    ) -> str:
        """The answer, whole.

        Raises:
            BusyError: the same request may succeed later.
            ServiceError: it will not.
            ValueError: there is no text where the path says.
        """
        messages = self._prompt.generate_prompt(message, format="openai")["messages"]
        values = {
            "messages": messages,
            "prompt": "\n\n".join(str(part["content"]) for part in messages if part["content"]),
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        found = find(self._endpoint.once(fill(self._body, values)), self._response)
        if not isinstance(found, str):
            raise ValueError(f"'{self._response}' leads to no text in the answer")
        return found


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A template with its placeholders filled; other braces stay. Alone in a text, a value keeps its type."""
    if isinstance(template, Mapping):
        return {key: fill(value, values) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if (whole := _PLACEHOLDER.fullmatch(template)) and whole[1] in values:
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), template)


def find(answer: Any, path: str) -> Any:
    """What lies at a path: keys and numbers between dots, ``*`` for each entry of a list.

    Raises:
        ValueError: there is nothing; says how far the path leads.
    """
    here = answer
    steps = path.split(".")
    for number, step in enumerate(steps):
        if step == "*" and isinstance(here, list):
            rest = ".".join(steps[number + 1 :])
            return [find(entry, rest) for entry in here] if rest else here
        if isinstance(here, Mapping) and step in here:
            here = here[step]
        elif isinstance(here, list) and step.isdigit() and int(step) < len(here):
            here = here[int(step)]
        else:
            reached = ".".join(steps[:number]) or "the answer"
            holds = f"the keys {', '.join(map(str, here))}" if isinstance(here, Mapping) else f"a {type(here).__name__}"
            raise ValueError(f"there is no '{step}' at {reached}, which holds {holds}")
    return here


def resolved(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Headers with the values of the environment variables that they name, and these values.

    Raises:
        UserError: a variable is not set.
    """
    secrets: list[str] = []

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise UserError(f"the environment variable {match[1]} is not set; a header of the request names it")
        secrets.append(found)
        return found

    return {name: HEADER_VARIABLE.sub(value, text) for name, text in headers.items()}, secrets
