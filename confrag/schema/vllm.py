"""Model kind `vllm`: what the server is started with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from confrag.schema.base import Flag, Name, Number
from confrag.schema.models import ModelSpec

__all__ = ["VllmSpec"]

FlagName = Annotated[str, StringConstraints(strict=True, max_length=100, pattern=r"^[a-z][a-z0-9_]*$")]
_OWN_FLAGS: Mapping[str, str] = {
    "model": "path",
    "quantization": "quantization",
    "tensor_parallel_size": "tensor_parallel_size",
    "max_model_len": "max_model_len",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "dtype": "dtype",
    "trust_remote_code": "trust_remote_code",
    "port": "port",
}
"""Flags of the server that are keys of their own: flag -> key."""

_FIXED = (
    "api_key",
    "config",
    "headless",
    "host",
    "root_path",
    "served_model_name",
    "ssl_certfile",
    "ssl_keyfile",
    "uds",
)
"""Who reaches the server, and how confrag does."""
_CODE = (
    "io_processor_plugin",
    "logits_processors",
    "middleware",
    "reasoning_parser_plugin",
    "scheduler_cls",
    "tool_parser_plugin",
    "tool_server",
    "worker_cls",
    "worker_extension_cls",
)
"""A configuration names no code."""


class VllmSpec(ModelSpec):
    """vLLM, started as a child process on this machine: GPU inference, with or without AWQ."""

    role: Literal["chat"]
    kind: Literal["vllm"]
    path: Name
    """A folder with a checkpoint, or its name on the model hub: ``Qwen/Qwen2.5-7B-Instruct-AWQ``."""
    quantization: Literal["awq", "awq_marlin", "gptq", "none"] = "none"
    """How the checkpoint's weights are quantised; ``none``: as its own configuration says."""
    tensor_parallel_size: Annotated[int, Field(strict=True, ge=1, le=1024)] = 1
    """GPUs that share the model."""
    max_model_len: Annotated[int, Field(strict=True, ge=16, le=16_777_216)] | None = None
    """Tokens of prompt and answer together; left out: as many as the model was made for."""
    gpu_memory_utilization: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Share of a GPU's memory that the server takes; left out: vLLM's default."""
    dtype: Literal["auto", "half", "float16", "bfloat16", "float", "float32"] = "auto"
    """Number format of weights and activations."""
    trust_remote_code: Flag = False
    """Run Python code that comes with the checkpoint."""
    args: Mapping[FlagName, Any] = Field(default_factory=dict)
    """More flags of ``vllm serve``: ``max_num_seqs: 16``, ``enforce_eager: true``; ``false`` gives ``--no-...``."""
    python: Name | None = None
    """Interpreter of an environment that has vLLM; left out: the one that runs confrag."""
    port: Annotated[int, Field(strict=True, ge=0, le=65_535)] = 0
    """On the loopback interface; 0: a free one."""
    startup_timeout_s: Annotated[Number, Field(gt=0, le=86_400)] = 900.0
    """Seconds until the server must be ready; a large model is loaded, and may be downloaded, in that time."""
    timeout_s: Annotated[Number, Field(gt=0, le=3600)] = 120.0
    """Seconds that an answer may take."""
    state_dir: Name | None = None
    """Where services that run apart are found, and where the log goes; left out: the configuration's."""

    @field_validator("args")
    @classmethod
    def _flags(cls, args: Mapping[str, object]) -> Mapping[str, object]:
        for flag, value in args.items():
            _refuse(flag)
            if not isinstance(value, bool | int | float | str | list | Mapping):
                raise ValueError(f"'{flag}' takes text, a number, true or false, a list or a mapping")
        return args


def _refuse(flag: str) -> None:
    """The server takes any unambiguous beginning of a flag, so these are refused, too."""
    for own, key in _OWN_FLAGS.items():
        if own.startswith(flag):
            raise ValueError(f"'{flag}' has a key of its own: use '{key}' beside 'args'")
    for fixed in (*_FIXED, *_CODE):
        if fixed.startswith(flag):
            why = "loads code, which a configuration cannot name" if fixed in _CODE else "is set by confrag"
            raise ValueError(f"'{flag}' cannot be given: --{fixed.replace('_', '-')} {why}")
