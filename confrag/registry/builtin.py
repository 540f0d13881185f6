"""What confrag brings along. A new store, transform, model kind, step or merge rule is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from confrag.schema import models, nodes, retrieval, store
from confrag.schema.base import Kind, Spec


def _kind(name: str, spec: type[Spec], builder: str) -> Kind:
    return Kind(name, spec, f"confrag.build.{builder}", (spec.__doc__ or "").strip().splitlines()[0])


BUILTIN: Mapping[str, tuple[Kind, ...]] = {
    "stores": (
        _kind("map", store.MapStoreSpec, "stores.map:store_conf"),
        _kind("chroma", store.ChromaStoreSpec, "stores.chroma:store_conf"),
        _kind("milvus", store.MilvusStoreSpec, "stores.milvus:store_conf"),
        # The plan turns it into the store that holds its vectors.
        _kind("split", store.SplitStoreSpec, "stores.milvus:store_conf"),
    ),
    "transforms": (
        _kind("sentence_splitter", nodes.SentenceSplitterSpec, "transforms.sized:sentence_splitter"),
        _kind("recursive", nodes.RecursiveSpec, "transforms.sized:recursive"),
        _kind("markdown", nodes.MarkdownSpec, "transforms.sized:markdown"),
        _kind("split", nodes.SplitSpec, "transforms.split:split"),
    ),
    "models": (
        _kind("local", models.LocalSpec, "models.local:build"),
        _kind("extractive", models.ExtractiveSpec, "models.extractive:build"),
        _kind("openai_compatible", models.OpenAICompatibleSpec, "models.openai_compatible:build"),
    ),
    "steps": (
        _kind("retrieve", retrieval.RetrieveSpec, "steps.retrieve:build"),
        _kind("parallel", retrieval.ParallelSpec, "steps.parallel:build"),
        _kind("pipeline", retrieval.PipelineSpec, "steps.pipeline:build"),
        _kind("rerank", retrieval.RerankSpec, "steps.rerank:build"),
    ),
    "merges": (
        _kind("concat", retrieval.ConcatSpec, "merges.concat:merge"),
        _kind("rrf", retrieval.RRFSpec, "merges.rrf:merge"),
    ),
}
