"""Stores that fail loudly: LazyLLM's map, Chroma and Milvus stores, in which a failure is never an empty result."""

from confrag.build.private import offline_tokenizer, quiet

# LazyLLM is imported by every module here, and reads these once.
quiet()
offline_tokenizer()
