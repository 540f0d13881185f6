"""`models`: chat, embedding and rerank models by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from confrag.schema.base import Count, EnvName, Family, Flag, Name, Number, Spec, Text

MODELS = Family("model kind")

Role = Literal["chat", "embed", "rerank"]
Threads = Annotated[int, Field(strict=True, ge=0, le=1024)]


class ModelSpec(Spec):
    """Base of the models, told apart by `kind`."""

    role: Role
    """What the model is for."""
    kind: str


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


class OpenAICompatibleSpec(ModelSpec):
    """A server with the interface of OpenAI: vLLM, llama.cpp, Ollama, a company gateway, ..."""

    role: Literal["chat"]
    kind: Literal["openai_compatible"]
    base_url: Annotated[Text, Field(pattern=r"^https?://[^\s]+$")]
    """Up to and including ``/v1``."""
    model: Name
    api_key_env: EnvName | None = None
    """Name of the environment variable that holds the key; left out: the server asks for none."""
    timeout_s: Annotated[Number, Field(gt=0, le=3600)] = 60.0
    """Seconds that an answer may take."""
    verify_at_start: Flag = True
    """Ask the server for its models when the engine starts, so that an absent one is noticed then."""
