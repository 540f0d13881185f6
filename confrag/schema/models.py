"""`models`: chat, embedding and rerank models by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from confrag.schema.base import Count, EnvName, Family, Flag, Name, Number, Spec, Text

MODELS = Family("model kind")

Role = Literal["chat", "embed", "rerank"]
Threads = Annotated[int, Field(strict=True, ge=0, le=1024)]


class PriceSpec(Spec):
    """What tokens cost, so that ``confrag eval`` can say what an answer does."""

    prompt: Annotated[Number, Field(ge=0)] = 0.0
    """Of a million tokens that the model reads."""
    completion: Annotated[Number, Field(ge=0)] = 0.0
    """Of a million tokens that it writes."""
    currency: Name = "USD"


class ModelSpec(Spec):
    """Base of the models, told apart by `kind`."""

    role: Role
    """What the model is for."""
    kind: str
    price: PriceSpec | None = None
    """Chat: of its tokens; left out: not known. Nothing that is stored depends on it."""


class LocalSpec(ModelSpec):
    """Embedded in this process: ONNX or a 4-bit engine for embeddings, ONNX for reranking, llama.cpp for chat."""

    kind: Literal["local"]
    model: Name
    """A name of ``confrag models ls``, or a folder of your own (model.onnx, tokenizer.json) or a .gguf file."""
    threads: Threads = 0
    """0: as many as the machine has cores."""
    query_prefix: Text = ""
    """Embedding: put before a question."""
    passage_prefix: Text = ""
    """Embedding: put before a text of the corpus."""
    pooling: Literal["cls", "mean"] = "cls"
    """Embedding: how the vectors of a text's tokens become one; a folder of your own may need ``mean``."""
    max_length: Annotated[int, Field(strict=True, ge=8, le=32_768)] = 512
    """Embedding and reranking: tokens of a text that are looked at."""
    context: Annotated[int, Field(strict=True, ge=256, le=1_048_576)] = 2048
    """Chat: tokens of prompt and answer together."""


class ExtractiveSpec(ModelSpec):
    """No model at all: quotes the best passages and says so. Needs nothing."""

    role: Literal["chat"]
    kind: Literal["extractive"]
    passages: Annotated[int, Field(strict=True, ge=1, le=100)] = 3
    """How many passages are quoted."""
    max_chars: Count = 600
    """Length of a quotation."""


HEADER_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
"""In a header of `custom_http`: the name of an environment variable."""

Url = Annotated[Text, Field(pattern=r"^https?://[^\s]+$")]
"""Of a server; a name and password in it are refused, since an address is shown and logged."""


class ServedSpec(ModelSpec):
    """Base of the models that are reached over HTTP: how often they are asked, how patiently, and who stands in."""

    timeout_s: Annotated[Number, Field(gt=0, le=3600)] = 60.0
    """Seconds to wait for the server: until it answers, and between two parts of an answer."""
    retries: Annotated[int, Field(strict=True, ge=0, le=20)] = 3
    """How often a request is repeated when the server is busy (429), failing (5xx) or away; not after another 4xx."""
    backoff_s: Annotated[Number, Field(gt=0, le=60)] = 1.0
    """Seconds before the first repetition; doubled each time, with chance added. A server's Retry-After goes before."""
    concurrency: Annotated[int, Field(strict=True, ge=1, le=1024)] = 8
    """Requests under way at the same time."""
    rate_limit: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    """Requests a minute; left out: as many as come."""
    fallback: tuple[Name, ...] = ()
    """Chat: names of models that are asked, in this order, when this one gives no answer."""
    batch_texts: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 32
    """Embedding: texts in one request."""
    batch_chars: Count = 60_000
    """Embedding: characters in one request, one long text excepted."""
    query_prefix: Text = ""
    """Embedding: put before a question."""
    passage_prefix: Text = ""
    """Embedding: put before a text of the corpus."""


class OpenAICompatibleSpec(ServedSpec):
    """A server with the interface of OpenAI: vLLM, llama.cpp, Ollama, a company gateway, ..."""

    kind: Literal["openai_compatible"]
    base_url: Annotated[Text, Field(pattern=r"^(served|https?://[^\s]+)$")]
    """Up to and including ``/v1``; ``served``: wherever ``confrag models serve`` runs the model.

    Reranking: what stands before ``/rerank``, the interface that Cohere, Jina and vLLM share.
    """
    model: Name
    api_key_env: EnvName | None = None
    """Name of the environment variable that holds the key; left out: the server asks for none."""
    verify_at_start: Flag = True
    """Ask the server for its models when the engine starts, so that an absent one is noticed then."""
    state_dir: Name | None = None
    """Where ``served`` looks; left out: the configuration's."""


class OnlineSpec(ServedSpec):
    """A provider on the Internet by its name: openai, deepseek, qwen, doubao, glm, kimi, siliconflow, ..."""

    kind: Literal["online"]
    source: Name
    """One of LazyLLM's sources."""
    model: Name
    """As the provider calls it."""
    api_key_env: EnvName
    """Name of the environment variable that holds the key."""
    base_url: Url | None = None
    """Another address of the provider's interface: a mirror, a proxy."""


class CustomHTTPSpec(ServedSpec):
    """Any server that speaks JSON, for chat and embeddings: a template of the request, a path into the answer."""

    role: Literal["chat", "embed"]
    kind: Literal["custom_http"]
    url: Url
    method: Literal["POST", "PUT"] = "POST"
    headers: Mapping[Name, Text] = Field(default_factory=dict)
    """``$NAME`` stands for the environment variable of this name: ``Authorization: Bearer $MY_KEY``."""
    body: Annotated[Mapping[Name, Any], Field(min_length=1)]
    """The request. Embedding: ``{texts}`` (a list) or ``{text}``; chat: ``{messages}`` or ``{prompt}``, and where they
    are wanted ``{temperature}`` and ``{max_tokens}``. Alone in a value they keep their type."""
    response: Annotated[Text, Field(min_length=1)]
    """Where the answer lies: ``choices.0.message.content``, ``data.*.embedding`` (``*``: of each in the list)."""


FRAMEWORKS: Mapping[str, tuple[str, ...]] = {
    "chat": ("vllm", "lmdeploy", "lightllm"),
    "embed": ("infinity",),
    "rerank": ("infinity",),
}
"""Role -> the frameworks that LazyLLM deploys such a model with; the first that is installed goes for ``auto``."""


def _plain(value: int | float | bool | str) -> int | float | bool | str:
    if isinstance(value, str) and not re.fullmatch(r"[\w./:=+,@%~-]{1,1000}", value):
        raise ValueError(
            f"{value!r} must be one plain word, a number, true or false: LazyLLM puts it into a command line of a shell"
        )
    return value


ShellWord = Annotated[Text, AfterValidator(_plain)]


class TrainableSpec(ModelSpec):
    """A model that LazyLLM deploys here, by its name: ``TrainableModule`` with a serving framework. Needs a GPU."""

    kind: Literal["trainable"]
    model: ShellWord
    """A folder, or a name that LazyLLM can fetch."""
    deploy: Literal["vllm", "lightllm", "lmdeploy", "infinity", "auto"] = "auto"
    """The framework; ``infinity`` for embedding and reranking, the others for chat, ``auto`` for what is there."""
    options: Mapping[EnvName, Annotated[bool | int | float | str, AfterValidator(_plain)]] = Field(default_factory=dict)
    """Passed on to the framework: ``tp: 2``, ``max_model_len: 8192``."""
    trust_remote_code: Flag = False
    """Let the framework run code that comes with the model."""


def placeholders(template: object) -> set[str]:
    """Names in braces anywhere in the texts of a request's template."""
    if isinstance(template, str):
        return set(re.findall(r"\{(\w+)\}", template))
    below: list[object] = []
    if isinstance(template, Mapping):
        below = list(template.values())
    elif isinstance(template, list | tuple):
        below = list(template)
    return set().union(*map(placeholders, below))
