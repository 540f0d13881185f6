"""The whole configuration, and the options of a command that ride on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from confrag.schema.base import Family, Flag, Name, Number, Spec, Text
from confrag.schema.cache import CACHES, CacheSpec, NoCacheSpec
from confrag.schema.corpus import CorpusSpec
from confrag.schema.dataset import DatasetSpec
from confrag.schema.doc_fields import DocFields
from confrag.schema.evaluation import EvalSpec, Objective
from confrag.schema.indices import INDEX_KINDS, IndexSpec
from confrag.schema.models import MODELS, ModelSpec
from confrag.schema.nodes import NodeGroupSpec
from confrag.schema.prompts import PromptsSpec
from confrag.schema.retrieval import RetrieverSpec
from confrag.schema.serve import ServeSpec
from confrag.schema.steps import Step
from confrag.schema.store import MapStoreSpec, StoreSpec, tagged

STORES = Family("store", tag="type")


class GenerationSpec(Spec):
    """How the answer is written."""

    model: Name = "llm"
    """Name of the chat model that answers."""
    temperature: Annotated[Number, Field(ge=0, le=2)] = 0.0
    """0: the same answer each time; more: more variety."""
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=131_072)] = 256
    """Upper bound of an answer, in tokens of the model."""
    context_tokens: Annotated[int, Field(strict=True, ge=64, le=1_048_576)] = 1024
    """Budget of the passages in the prompt; the best go first. In the model's own tokens where it can be asked (the
    kinds local and vllm), else in GPT-2's."""
    stream: Flag = True
    """Show the answer while it is written, on a terminal."""


class EmbeddingCacheSpec(Spec):
    """Vectors that were computed once, below `state_dir`, shared by all stores and configurations."""

    max_mb: Annotated[int, Field(strict=True, ge=0, le=100_000_000)] = 4096
    """How large it may grow; what was not used for longest goes first. 0: no cache."""


class BenchSpec(Spec):
    """How ``confrag bench`` measures."""

    repeats: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3
    """How often each figure is taken; the median counts."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Options(Spec):
    """What one call asks for; no part of the pipeline."""

    query: Annotated[tuple[Text, ...], BeforeValidator(_listed)] | None = None
    """A question, or several."""
    queries_file: Name | None = None
    """A file of questions: one a line, or JSON lines with the key ``query``."""
    stream: Flag | None = None
    """Ask for the answer piece by piece; left out: on a terminal, unless `generation.stream` is off."""
    filters: Mapping[Name, Any] = Field(default_factory=dict)
    """Which documents the questions may be answered from: field -> value, list of values, or ``{">=": value}``."""
    output: Literal["text", "json"] = "text"
    """``json``: one document on standard output, and nothing else."""
    format: Literal["text", "mermaid", "json"] = "text"
    """How ``confrag graph`` draws."""
    where: Flag = False
    """``confrag show``: say which file each value comes from."""
    verbose: Flag = False
    """Let the libraries below say what they do, on standard error."""
    debug: Flag = False
    """Show the traceback of every error."""
    progress: Flag | None = None
    """Show progress on standard error; left out: where that is a terminal."""
    resume: Flag = False
    """``confrag eval``: go on where an evaluation of the same configuration, dataset and seed was interrupted."""
    bench: BenchSpec = Field(default_factory=lambda: BenchSpec())
    """How ``confrag bench`` measures."""


class Config(Options):
    """A validated configuration."""

    corpus: CorpusSpec
    doc_fields: DocFields
    """Metadata of the documents that may be filtered by: name -> type."""
    store_conf: Annotated[StoreSpec, STORES, BeforeValidator(tagged)] = Field(default_factory=lambda: MapStoreSpec())
    node_groups: Mapping[Name, NodeGroupSpec]
    cache: Annotated[CacheSpec, CACHES] = Field(default_factory=lambda: NoCacheSpec(kind="none"))
    indices: Mapping[Name, Annotated[IndexSpec, INDEX_KINDS]] = Field(default_factory=dict)
    """Indices of one's own beside the store."""
    retrievers: Annotated[Mapping[Name, RetrieverSpec], Field(min_length=1)]
    recall: Step
    models: Mapping[Name, Annotated[ModelSpec, MODELS]]
    prompts: PromptsSpec
    embedding_cache: EmbeddingCacheSpec = Field(default_factory=lambda: EmbeddingCacheSpec())
    generation: GenerationSpec = Field(default_factory=lambda: GenerationSpec())
    serve: ServeSpec = Field(default_factory=lambda: ServeSpec())
    dataset: DatasetSpec = Field(default_factory=lambda: DatasetSpec())
    eval: EvalSpec = Field(default_factory=lambda: EvalSpec())
    objective: Objective = ("ndcg@10",)
    """What ``confrag eval`` gives back for a sweep to judge by: a metric, or a list of them. Beside those of retrieval
    (``ndcg@10``): exact_match, f1, contains, citation_precision, judge, latency_ms_mean, latency_ms_p50,
    latency_ms_p95, latency_ms_p99, cost."""
    state_dir: Name = ".confrag"
    """Folder of stores and runs, relative to where the command runs."""
    lock_timeout_s: Annotated[Number, Field(ge=0, le=86_400)] = 60.0
    """How long to wait, in seconds, while another process writes the same collection."""
