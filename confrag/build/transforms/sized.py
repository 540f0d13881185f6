"""Transforms that cut texts to a size in tokens: LazyLLM's splitters."""

from __future__ import annotations

from lazyllm.tools.rag import NodeTransform, SentenceSplitter
from lazyllm.tools.rag.transform import MarkdownSplitter, RecursiveSplitter

__all__ = ["markdown", "recursive", "sentence_splitter"]


def sentence_splitter(*, chunk_size: int, chunk_overlap: int) -> NodeTransform:
    """Whole sentences up to a size."""
    return SentenceSplitter(chunk_size=chunk_size, chunk_overlap=chunk_overlap)


def recursive(*, chunk_size: int, chunk_overlap: int) -> NodeTransform:
    """Paragraphs, then lines, then words, up to a size."""
    return RecursiveSplitter(chunk_size=chunk_size, overlap=chunk_overlap)


def markdown(*, chunk_size: int, chunk_overlap: int) -> NodeTransform:
    """Along the headings of Markdown, up to a size."""
    return MarkdownSplitter(chunk_size=chunk_size, overlap=chunk_overlap)
