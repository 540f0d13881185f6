"""Asking the engine one query of a dataset, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from confrag.build.conditions import language
from confrag.build.trace import Trace, tracing
from confrag.errors import ConfragError
from confrag.evaluate.dataset import Query
from confrag.evaluate.judge import Judge
from confrag.runtime.app import App
from confrag.runtime.results import Answer, Found, Hit

__all__ = ["Asking"]

_CUT = 400
"""Characters of a source that are kept."""
_SHOWN = 5
"""Hits that are kept with their text where no answer names its sources."""


@dataclass(frozen=True)
class Asking:
    """How queries are asked. A row of its making is plain data, without metrics.

    Attributes:
        app: started.
        documents: name of a file of the corpus -> document id, where that is not the name itself.
        answering: let the model answer.
        depth: nodes that every route gives at least; None: as the configuration says.
        judge: grades the answers, if one does.
    """

    app: App
    documents: Mapping[str, str]
    answering: bool
    depth: int | None
    judge: Judge | None

    def __call__(self, query: Query) -> dict[str, Any]:
        """The row of a query. What goes wrong is noted in it."""
        try:
            return self._row(query)
        except Exception as error:  # noqa: BLE001 - the other queries go on
            return {"id": query.id, "error": _told(error), "exit_code": getattr(error, "exit_code", 1)}

    def _row(self, query: Query) -> dict[str, Any]:
        # A cache stands in front of the whole question, so that one is asked where there is a cache to be measured.
        answer = self.app.ask(query.text) if self.answering or self.app.cache else None
        hits = answer.found if answer else ()
        found: Answer | Found | None = answer
        if not answer or self.depth is not None or (answer.cached and not hits):
            listed = self.app.find(query.text, self.depth)
            hits, found = listed.hits, answer or listed
        assert found is not None
        answered = answer if self.answering else None
        row = {
            "id": query.id,
            "ranking": self._ranking(hits),
            "answer": answered.text if answered else None,
            "sources": [self._source(hit) for hit in (answered.sources if answered else hits[:_SHOWN])],
            "citations": list(answered.citations) if answered else [],
            "timings_ms": found.timings_ms,
            "tokens": found.tokens,
            "spent": found.spent,
            "cached": found.cached,
            "partial": bool(found.missing),
            "error": None,
        }
        if answered and self.judge:
            row["judge"] = self._graded(self.judge, query, answered)
        return row

    def _ranking(self, hits: Iterable[Hit]) -> list[tuple[str, float]]:
        """Documents, each at the place of its first node, with that node's score."""
        ranking: dict[str, float] = {}
        for hit in hits:
            ranking.setdefault(self._document(hit), round(_score(hit), 6))
        return list(ranking.items())

    def _document(self, hit: Hit) -> str:
        return self.documents.get(hit.file, hit.file)

    def _source(self, hit: Hit) -> dict[str, Any]:
        return {
            "file": hit.file,
            "document": self._document(hit),
            "route": hit.route,
            "score": hit.score,
            "rerank_score": hit.rerank_score,
            "text": hit.text[:_CUT],
        }

    def _graded(self, judge: Judge, query: Query, answer: Answer) -> dict[str, Any]:
        context = "\n\n".join(f"[{number}] {hit.text}" for number, hit in enumerate(answer.sources, start=1))
        values = {
            "question": query.text,
            "answer": answer.text,
            "answers": query.answers,
            "context": context,
            "language": language(query.text),
        }
        with tracing(Trace()) as trace:
            try:
                verdict = {**asdict(judge(values)), "error": None}
            except ConfragError as error:
                verdict = {"grade": None, "reply": None, "error": _told(error)}
        return {**verdict, "tokens": trace.tokens}


def _score(hit: Hit) -> float:
    return next((score for score in (hit.rerank_score, hit.score) if score is not None), 0.0)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, ConfragError) else f"{type(error).__name__}: {error}"
