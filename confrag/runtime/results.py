"""What the engine gives back: plain data, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from confrag.schema.history import History

__all__ = ["Answer", "CorpusReport", "FailedFile", "Found", "Hit", "Step"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A node that was found.

    Attributes:
        id: stable as long as the text stays where it is.
        file: name of the file, relative to the corpus.
        score: of the retriever, or of the merge rule where routes were fused; higher is better.
        rerank_score: of the reranker, if one ran.
        route: the retriever that found it; several are joined by `+`.
        text: what the answering model reads; of a node of the kind ``llm_qa`` the question, and the answer below it.
        metadata: of the document and of the place in it; of such a node also its ``question`` and ``answer``.
    """

    id: str
    file: str
    group: str
    score: float | None
    rerank_score: float | None
    route: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What the recall found for a question, and what that took.

    Attributes:
        hits: best first.
        timings_ms: milliseconds of ``rewrite``, ``retrieve``, ``rerank`` and ``total``.
        tokens: ``prompt`` and ``completion`` of the models that rewrite.
        spent: the same by the name of the model.
        missing: branches of the recall that it had to do without, each with the reason.
    """

    hits: tuple[Hit, ...]
    timings_ms: dict[str, float]
    tokens: dict[str, int]
    cached: bool = False
    missing: dict[str, str] = field(default_factory=dict)
    spent: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of the work on a question; `stage` and `name` say which node of the graph did it.

    Attributes:
        start_ms: milliseconds from the question to its begin.
        ms: how long it took.
    """

    stage: str
    name: str
    start_ms: float
    ms: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its numbered sources: source 1 is ``sources[0]``.

    Attributes:
        timings_ms: milliseconds of ``rewrite``, ``retrieve``, ``rerank``, ``generate`` and ``total``; of an answer that
            was streamed also ``first_token``, from the question to the first piece.
        tokens: ``prompt`` and ``completion``, as the models counted them.
        spent: the same by the name of the model.
        partial: branches of the recall are missing, and `missing` names them, each with the reason.
        rewritten: the question that was searched by, where a model has rewritten it.
        citations: numbers of the sources that the text cites.
        dangling: how many numbers were taken out of the text, since they refer to no source.
        history: what was said before the question.
        spans: what took how long, in the order of the ends.
        found: all that the recall gave, best first, of which the sources are what the prompt had room for; empty where
            the whole answer came from the cache.
    """

    query: str
    text: str
    sources: tuple[Hit, ...]
    timings_ms: dict[str, float]
    tokens: dict[str, int]
    cached: bool = False
    partial: bool = False
    missing: dict[str, str] = field(default_factory=dict)
    rewritten: str | None = None
    citations: tuple[int, ...] = ()
    dangling: int = 0
    history: History = ()
    spans: tuple[Step, ...] = ()
    found: tuple[Hit, ...] = ()
    spent: dict[str, dict[str, int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The answer as in the JSON of ``confrag run``."""
        return {
            "query": self.query,
            "answer": self.text,
            "cached": self.cached,
            "partial": self.partial,
            **({"missing": self.missing} if self.missing else {}),
            **({"rewritten": self.rewritten} if self.rewritten is not None else {}),
            **({"history": [dict(turn) for turn in self.history]} if self.history else {}),
            "citations": list(self.citations),
            "dangling": self.dangling,
            "sources": [asdict(source) for source in self.sources],
            "timings_ms": self.timings_ms,
            "tokens": self.tokens,
        }


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be read, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """What bringing the store up to date did.

    Attributes:
        version: fingerprint of the names and contents of the files that were read, 12 hexadecimal digits.
        nodes: node group -> number of its nodes.
        embedded: texts that went through an embedding model.
        asked: calls of chat models that wrote nodes, repeated ones included.
        reply_cache_hits: texts about which they had written before.
    """

    version: str
    files: int
    added: int
    changed: int
    removed: int
    unchanged: int
    failed: tuple[FailedFile, ...]
    nodes: dict[str, int]
    embedded: int
    embedding_cache_hits: int
    asked: int = 0
    reply_cache_hits: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The report as in the JSON of ``confrag run``; what was asked only where a model writes nodes."""
        asking = {} if self.asked or self.reply_cache_hits else {"asked", "reply_cache_hits"}
        return {key: value for key, value in asdict(self).items() if key not in asking}
