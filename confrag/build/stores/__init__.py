"""Stores that fail loudly: LazyLLM's map, Chroma and Milvus stores, in which a failure is never an empty result."""

from confrag.build.private.imports import import_lazyllm

# Every module here subclasses LazyLLM's.
import_lazyllm()
