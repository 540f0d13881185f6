"""Document management: what the page needs, below ``/api/documents``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from confrag.serve.service import Service

__all__ = ["Ids", "Limit", "Offset", "router"]

Id = Annotated[str, Field(max_length=64)]
Ids = Annotated[list[Id], Field(min_length=1, max_length=10_000)]
Offset = Annotated[int, Query(ge=0, le=10**9)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Status = Literal["waiting", "working", "success", "failed", "deleting"]


class FilesRequest(BaseModel):
    """Documents, by their ids."""

    model_config = ConfigDict(extra="forbid")

    file_ids: Ids


def router(service: Service) -> APIRouter:
    """The routes of a service. They run in threads: each looks at the folders of the corpus."""
    routes = APIRouter(prefix="/api/documents", tags=["documents"])
    documents = service.app.documents

    @routes.get("", summary="The documents, with their state")
    def listed(
        offset: Offset = 0, limit: Limit = 1000, status: Status | None = None, search: str | None = None
    ) -> dict[str, Any]:
        service.check_ready()
        found = [
            document
            for document in documents.list()
            if (status is None or document.status == status)
            and (search is None or search.casefold() in document.name.casefold())
        ]
        return {
            "total": len(found),
            "documents": [document.as_dict() for document in found[offset : offset + limit]],
            "hidden": [{"id": file_id, "name": name} for file_id, name in documents.hidden()],
            "ingest": documents.doing.as_dict(),
        }

    @routes.get("/{file_id}", summary="One document")
    def one(file_id: Id) -> dict[str, Any]:
        service.check_ready()
        return documents.get(file_id).as_dict()

    @routes.get("/{file_id}/passages", summary="The passages of a document, in the order of its text")
    def passages(file_id: Id, group: str | None = None, offset: Offset = 0, limit: Limit = 1000) -> dict[str, Any]:
        service.check_ready()
        name, total, found = documents.passages(file_id, group, offset, limit)
        return {
            "id": file_id,
            "name": documents.get(file_id).name,
            "group": name,
            "total": total,
            "passages": [{"id": p.id, "number": p.number, "text": p.text} for p in found],
        }

    @routes.post("/reparse", status_code=202, summary="Read documents anew")
    def reparse(request: FilesRequest) -> dict[str, Any]:
        service.check_ready()
        return {"documents": documents.reparse(request.file_ids, wait=False)}

    @routes.post("/restore", status_code=202, summary="Read documents of the corpus again that were taken out")
    def restore(request: FilesRequest) -> dict[str, Any]:
        service.check_ready()
        return {"documents": documents.restore(request.file_ids, wait=False)}

    return routes
