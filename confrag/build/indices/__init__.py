"""Indices beside a store: exact vectors and BM25."""

from confrag.build.private import offline_tokenizer, quiet

# LazyLLM is imported by every module here, and reads these once.
quiet()
offline_tokenizer()
