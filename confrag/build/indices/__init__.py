"""Indices beside a store: exact vectors and BM25."""

from confrag.build.private.imports import import_lazyllm

# Every module here subclasses LazyLLM's.
import_lazyllm()
