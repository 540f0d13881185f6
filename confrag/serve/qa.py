"""Questions with their answers that a model has written about the documents: listed, put right, deleted."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from confrag.serve.documents import Id, Limit, Offset
from confrag.serve.service import Service

__all__ = ["router"]

_Text = Annotated[str, Field(min_length=1, max_length=20_000)]


class PairRequest(BaseModel):
    """What is to stand in the place of a question and its answer."""

    model_config = ConfigDict(extra="forbid")

    question: _Text
    answer: _Text


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(prefix="/api/qa", tags=["question-answer pairs"])
    pairs = service.app.documents.pairs

    @routes.get("", summary="The pairs, by document and in the order of its text")
    def listed(file_id: Id | None = None, offset: Offset = 0, limit: Limit = 1000) -> dict[str, Any]:
        service.check_ready()
        total, found = pairs.list(file_id, offset, limit)
        return {"total": total, "groups": pairs.groups, "pairs": [asdict(pair) for pair in found]}

    @routes.put("/{pair_id}", status_code=202, summary="Put a pair right; it gets another id")
    def edit(pair_id: Id, request: PairRequest) -> dict[str, Any]:
        service.check_ready()
        return {"file_id": pairs.edit(pair_id, request.question, request.answer, wait=False).file_id}

    @routes.delete("/{pair_id}", status_code=202, summary="Delete a pair, for good")
    def delete(pair_id: Id) -> dict[str, Any]:
        service.check_ready()
        return {"file_id": pairs.delete(pair_id, wait=False).file_id}

    return routes
