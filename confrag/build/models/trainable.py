"""Model kind `trainable`: LazyLLM's TrainableModule, which deploys a model here by its name. It needs a GPU.

What is tested on any machine: the role, the framework and whether it is installed, and the module that LazyLLM makes of
these. The deployment itself is LazyLLM's, which writes the frameworks' command lines, starts them and waits; no test
runs it. The kind `vllm` is tested through and through, and its server ends with the engine.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lazyllm
import numpy as np

from confrag.build.models.chat import ChatModel
from confrag.build.models.protocols import Vectors
from confrag.build.progress import ProgressFn, silent
from confrag.errors import MissingDependencyError, ServiceError, UserError
from confrag.schema.models import FRAMEWORKS

__all__ = ["Deployed", "build", "framework", "module"]

_PACKAGES = {
    "vllm": ("vllm", "pip install vllm"),
    "lightllm": ("lightllm", "pip install lightllm"),
    "lmdeploy": ("lmdeploy", "pip install lmdeploy"),
    "infinity": ("infinity_emb", "pip install 'infinity-emb[all]'"),
}
"""Framework -> the module that it is installed as, and the command that installs it."""
_TYPES = {"chat": "llm", "embed": "embed", "rerank": "rerank"}

Role = Literal["chat", "embed", "rerank"]


def build(
    *,
    role: Role,
    model: str,
    deploy: str = "auto",
    options: Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
    progress: ProgressFn = silent,
) -> Any:
    """A ChatModel, an Embedder or a RerankModel, as the role says, deployed and ready.

    Raises:
        MissingDependencyError: the framework is not installed.
        UserError: the model is neither here nor can LazyLLM fetch it.
        ServiceError: the framework does not start.
    """
    chosen = framework(role, deploy)
    made = module(role, model, chosen, dict(options or {}), trust_remote_code)
    try:
        made.start()
    except Exception as error:
        raise ServiceError(
            f"{chosen} could not deploy the model '{model}': {error}; verbose=true shows its log"
        ) from error
    if role == "chat":
        return ChatModel(made, f"the model '{model}' deployed by {chosen}", made.stop)
    return Deployed(made, model)


def framework(role: Role, deploy: str) -> str:
    """The framework that deploys a model; for ``auto`` the first for the role that is installed.

    Raises:
        MissingDependencyError: it is not installed, or none is.
    """
    wanted = FRAMEWORKS[role] if deploy == "auto" else (deploy,)
    installed = [name for name in wanted if importlib.util.find_spec(_PACKAGES[name][0]) is not None]
    if not installed:
        package, command = _PACKAGES[wanted[0]]
        raise MissingDependencyError(package, command, f"deploying a {role} model here (kind: trainable)")
    return installed[0]


def module(role: Role, model: str, deploy: str, options: dict[str, Any], trust_remote_code: bool) -> Any:
    """LazyLLM's TrainableModule, not started. Raises UserError when the model cannot be had."""
    folder = Path(model).expanduser()
    path = str(folder) if folder.exists() else _fetched(model)
    made = lazyllm.TrainableModule(
        path, type=_TYPES[role], trust_remote_code=trust_remote_code, use_model_map=False, stream=role == "chat"
    )
    # LazyLLM's frameworks listen on every interface, and vLLM runs a model's own code, unless told otherwise.
    given: dict[str, Any] = {"host": "127.0.0.1", "launcher": lazyllm.launchers.empty(sync=False), **options}
    if deploy == "vllm":
        given |= {"trust_remote_code": trust_remote_code, "openai_api": True}
    name = "infinityrerank" if (deploy, role) == ("infinity", "rerank") else deploy
    return made.deploy_method(getattr(lazyllm.deploy, name), **given)


def _fetched(model: str) -> str:
    from lazyllm.components.utils.downloader import ModelManager

    try:
        found = ModelManager(lazyllm.config["model_source"]).download(model)
    except Exception as error:
        raise UserError(f"LazyLLM cannot fetch the model '{model}': {error}. Name a folder that holds it") from error
    if not found:
        raise UserError(f"LazyLLM knows no model '{model}'. Name a folder that holds it")
    return str(found)


class Deployed:
    """An `Embedder` or a `RerankModel` over a deployed module.

    Args:
        module: LazyLLM's, started.
        model: how errors name it.
    """

    def __init__(self, module: Any, model: str) -> None:
        self._module = module
        self._place = f"the deployed model '{model}'"

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return len(self.query("dimension"))

    def passages(self, texts: Sequence[str], progress: ProgressFn = silent) -> Vectors:
        """Embed the texts of a corpus: `[n, dim] float32`, unit length, in the order of `texts`."""
        answer = self._module(list(texts))
        vectors = np.asarray(json.loads(answer) if isinstance(answer, str) else answer, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ServiceError(f"{self._place} gave vectors of the shape {vectors.shape} for {len(texts)} texts")
        progress("embed", len(texts), len(texts))
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def query(self, text: str) -> Vectors:
        """Embed a question: `[dim] float32`, unit length."""
        vector: Vectors = self.passages([text])[0]
        return vector

    def scores(self, query: str, texts: Sequence[str]) -> Vectors:
        """`[n] float32`, higher is better, in the order of `texts`."""
        pairs = dict(self._module(query, documents=list(texts), top_n=len(texts)))
        if pairs.keys() != set(range(len(texts))):
            raise ServiceError(f"{self._place} gave scores of {len(pairs)} texts, {len(texts)} were sent")
        return np.array([pairs[number] for number in range(len(texts))], np.float32)

    def close(self) -> None:
        """End the server."""
        self._module.stop()
