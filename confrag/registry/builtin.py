"""What confrag brings along. A new store, transform, model kind, step or merge rule is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from confrag.schema import cache, indices, merges, milvus_route, models, nodes, steps, store, vllm
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
        _kind("llm_qa", nodes.LLMQASpec, "transforms.llm:llm_qa"),
        _kind("llm_summary", nodes.LLMSummarySpec, "transforms.llm:llm_summary"),
    ),
    "indices": (
        _kind("linear", indices.LinearSpec, "indices.linear:build"),
        _kind("trie", indices.TrieSpec, "indices.trie:build"),
        _kind("hnsw", indices.HNSWSpec, "indices.hnsw:build"),
    ),
    "caches": (
        # The plan turns a cache into its policy; `none` is none.
        _kind("none", cache.NoCacheSpec, "cache.make:build"),
        _kind("exact", cache.ExactSpec, "cache.make:build"),
        _kind("semantic", cache.SemanticSpec, "cache.make:build"),
    ),
    "cache_backends": (
        _kind("memory", cache.MemorySpec, "cache.memory:build"),
        _kind("disk", cache.DiskSpec, "cache.disk:build"),
        _kind("redis", cache.RedisSpec, "cache.redis:build"),
    ),
    "models": (
        _kind("local", models.LocalSpec, "models.local:build"),
        _kind("extractive", models.ExtractiveSpec, "models.extractive:build"),
        _kind("openai_compatible", models.OpenAICompatibleSpec, "models.openai_compatible:build"),
        _kind("online", models.OnlineSpec, "models.online:build"),
        _kind("custom_http", models.CustomHTTPSpec, "models.custom_http:build"),
        _kind("trainable", models.TrainableSpec, "models.trainable:build"),
        _kind("vllm", vllm.VllmSpec, "models.vllm:build"),
    ),
    "steps": (
        _kind("retrieve", steps.RetrieveSpec, "steps.retrieve:build"),
        _kind("rewrite", steps.RewriteSpec, "steps.rewrite:build"),
        _kind("parallel", steps.ParallelSpec, "steps.parallel:build"),
        _kind("pipeline", steps.PipelineSpec, "steps.pipeline:build"),
        _kind("ifs", steps.IfsSpec, "steps.ifs:build"),
        _kind("rerank", steps.RerankSpec, "steps.rerank:build"),
        _kind("mmr", steps.MMRSpec, "steps.mmr:build"),
        _kind("keyword", steps.KeywordSpec, "steps.keyword:build"),
        _kind("score_threshold", steps.ScoreThresholdSpec, "steps.score_threshold:build"),
        _kind("milvus", milvus_route.MilvusRouteSpec, "steps.milvus:build"),
    ),
    "merges": (
        _kind("concat", merges.ConcatSpec, "merges.concat:fuse"),
        _kind("rrf", merges.RRFSpec, "merges.rrf:fuse"),
        _kind("weighted", merges.WeightedSpec, "merges.weighted:fuse"),
        _kind("priority", merges.PrioritySpec, "merges.priority:fuse"),
    ),
}
