"""`node_groups`: how documents are cut into nodes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from confrag.schema.base import Family, Flag, Name, Spec, Text
from confrag.schema.node_prompts import NODE_PROMPTS, TEXT

TRANSFORMS = Family("transform")

ROOT = "root"
"""The node group of whole documents; the parent of a group that names none."""

ChunkSize = Annotated[int, Field(strict=True, ge=8, le=100_000)]
Overlap = Annotated[int, Field(strict=True, ge=0, le=100_000)]


class TransformSpec(Spec):
    """Base of the transforms, told apart by `kind`."""

    kind: str


class _Sized(TransformSpec):
    chunk_size: ChunkSize = 256
    """Upper bound of a chunk, in tokens (GPT-2's)."""
    chunk_overlap: Overlap = 25
    """Tokens that a chunk shares with the one before."""

    @model_validator(mode="after")
    def _overlap_below_size(self) -> _Sized:
        if self.chunk_overlap >= self.chunk_size:
            raise ValueError(f"chunk_overlap ({self.chunk_overlap}) must be below chunk_size ({self.chunk_size})")
        return self


class SentenceSplitterSpec(_Sized):
    """Whole sentences up to a size, as LazyLLM's SentenceSplitter packs them."""

    kind: Literal["sentence_splitter"]


class RecursiveSpec(_Sized):
    """Whole paragraphs up to a size, then lines, then words."""

    kind: Literal["recursive"]


class MarkdownSpec(_Sized):
    """The sections below the headings of Markdown, each cut up to a size."""

    kind: Literal["markdown"]


class SplitSpec(TransformSpec):
    """A piece at each separator, empty pieces left out."""

    kind: Literal["split"]
    separator: Annotated[Text, Field(min_length=1, max_length=100)]
    """Text or, with `regex`, a regular expression."""
    regex: Flag = False
    """Take the separator as a regular expression."""
    keep_separator: Flag = False
    """Leave the separator at the end of each piece (a full stop, say)."""

    @model_validator(mode="after")
    def _compiles(self) -> SplitSpec:
        if self.regex:
            try:
                re.compile(self.separator)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"separator is no regular expression: {error}") from None
        return self


class WrittenSpec(TransformSpec):
    """Base of the transforms by which a chat model writes nodes about each node of the parent group.

    What it writes is kept below `state_dir`: the same text is asked about once, whatever is built again later.
    """

    model: Name = "llm"
    """Name of the chat model that writes."""
    language: Literal["en", "zh"] = "en"
    """Language of the packaged prompt, and of what is written."""
    prompt: Text | None = None
    """The message to the model, with ``{text}`` where the parent's text goes; left out: a packaged one."""
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=131_072)] = 512
    """Upper bound of what is written about one text, in tokens of the model."""
    concurrency: Annotated[int, Field(strict=True, ge=1, le=256)] = 4
    """Calls under way at once."""
    retries: Annotated[int, Field(strict=True, ge=0, le=20)] = 4
    """How often a call is repeated when the server is busy or away, or when its answer cannot be used."""
    max_calls: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Limit on the calls of one ingest, repeated ones included; the next ingest goes on. Left out: none."""

    @model_validator(mode="after")
    def _has_place_for_text(self) -> WrittenSpec:
        if self.prompt is not None and TEXT not in self.prompt:
            raise ValueError(f"prompt has no {TEXT}, so the model would not see the passage")
        return self

    @property
    def message(self) -> str | None:
        """The prompt, or the packaged one; None for a kind that has none."""
        return self.prompt or NODE_PROMPTS.get(self.kind, {}).get(self.language)


class LLMQASpec(WrittenSpec):
    """Questions that a chat model writes about a text, with their answers: the question is searched, both are read."""

    kind: Literal["llm_qa"]


class LLMSummarySpec(WrittenSpec):
    """A summary that a chat model writes of a text."""

    kind: Literal["llm_summary"]


class NodeGroupSpec(Spec):
    """One node group."""

    parent: Name = ROOT
    """Node group that is cut further; ``root`` stands for the whole documents."""
    transform: Annotated[TransformSpec, TRANSFORMS]
    embed: tuple[Name, ...] | None = None
    """Which embedding models it is indexed with; left out: those that its retrievers use."""
