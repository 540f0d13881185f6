"""confrag's own interface: ``/api/ask``, ``/api/retrieve``, and what there is to know about the service."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from confrag import __version__
from confrag.plan import draw
from confrag.runtime.results import Answer
from confrag.serve.at_hand import remember
from confrag.serve.connection import while_connected
from confrag.serve.problems import body_of, problem_of
from confrag.serve.security import may_write
from confrag.serve.service import Pieces, Service

__all__ = ["Turn", "event", "router", "whole"]

Question = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class Turn(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: str


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    query: Question
    filters: dict[str, Any] | None = Field(
        None, description='Which documents may answer: field -> value, list of allowed values, or {">=": value}.'
    )
    history: list[Turn] = Field(default=[], description="What was said before, oldest first.")

    @property
    def turns(self) -> list[dict[str, str]]:
        return [turn.model_dump() for turn in self.history]


class AskRequest(_Asked):
    """A question that is to be answered."""

    stream: bool = Field(False, description="Send the answer while it is written, as server-sent events.")


class RetrieveRequest(_Asked):
    """A question for which passages are to be found."""

    topk: int | None = Field(None, ge=1, le=10_000, description="How many; left out: as the configuration says.")


def whole(service: Service, answer: Answer, request_id: str) -> dict[str, Any]:
    """An answer as ``/api/ask`` gives it: as in ``confrag run output=json``, with the times of its steps."""
    return {
        **answer.as_dict(),
        "sources": [service.source(hit) for hit in answer.sources],
        "spans": [{"stage": s.stage, "name": s.name, "start_ms": s.start_ms, "ms": s.ms} for s in answer.spans],
        "corpus_version": service.corpus.version if service.corpus else None,
        "request_id": request_id,
    }


def _same(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer has in common with the next one to the same request, with its times last."""
    own = ("timings_ms", "request_id")
    return {key: value for key, value in answer.items() if key not in own} | {"timings_ms": answer["timings_ms"]}


def _end(milliseconds: float, request_id: str) -> str:
    # Ids are plain characters (`request_id_of`), so that they need no encoder.
    return f'{milliseconds:.3f}}}, "request_id": "{request_id}"}}'


def event(name: str, data: Mapping[str, Any]) -> str:
    """A server-sent event; JSON has no line break, so its data is one line."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def router(service: Service) -> APIRouter:
    """The routes below ``/api``."""
    routes = APIRouter(prefix="/api", tags=["confrag"])

    @routes.post("/ask", summary="Answer a question from the documents", responses=_also("text/event-stream"))
    async def ask(asked: AskRequest, request: Request) -> Response:
        """With `stream`: events `piece`, each with a `text`, then one `answer` with the whole, or one `error`."""
        request_id: str = request.state.request_id
        if not asked.stream:
            if known := service.known(asked.query, asked.filters, asked.turns):
                body = whole(service, known[0], request_id)
                remember(request, known[1], _same(body), _end)
                return JSONResponse(body)
            answer = await while_connected(request, service.ask(asked.query, asked.filters, asked.turns))
            return JSONResponse(whole(service, answer, request_id))
        pieces = service.stream(asked.query, asked.filters, asked.turns)
        await while_connected(request, pieces.open())  # so that a refusal has its own status
        events = _events(service, pieces, request.url.path, request_id)
        # A proxy in front is asked not to collect the pieces.
        return StreamingResponse(events, headers={"X-Accel-Buffering": "no"}, media_type="text/event-stream")

    @routes.post("/retrieve", summary="Find passages for a question; no model answers")
    async def retrieve(asked: RetrieveRequest, request: Request) -> JSONResponse:
        finding = service.retrieve(asked.query, asked.topk, asked.filters, asked.turns)
        hits = await while_connected(request, finding)
        found = [service.source(hit) for hit in hits]
        return JSONResponse({"query": asked.query, "hits": found, "request_id": request.state.request_id})

    @routes.get("/graph", summary="The compiled graph", responses=_also("text/plain"))
    async def graph(format: Literal["json", "mermaid", "text"] = "json") -> Response:  # noqa: A002 - as in the CLI
        if format == "json":
            return JSONResponse(service.app.describe())
        return PlainTextResponse(draw(service.app.compiled, format))

    @routes.get("/plan", summary="What bringing the store up to date would do")
    async def plan() -> JSONResponse:
        outlook = await service.work(service.app.plan)
        return JSONResponse({"conf": service.app.compiled.name, **outlook.as_dict()})

    @routes.get("/about", summary="Name, version, and what this caller may do")
    async def about(request: Request) -> JSONResponse:
        auth = service.tokens.needed
        ui = {"write": may_write(request.scope), "auth": auth}
        return JSONResponse({"name": service.name, "version": __version__, "ui": ui})

    @routes.get("/stats", summary="The corpus, the cache and the load")
    async def stats() -> JSONResponse:
        return JSONResponse(await _stats(service))

    return routes


def _also(media_type: str) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: a response that comes as JSON, or as text of another kind."""
    return {200: {"content": {"application/json": {}, media_type: {"schema": {"type": "string"}}}}}


async def _events(service: Service, pieces: Pieces, path: str, request_id: str) -> AsyncIterator[str]:
    try:
        async for piece in pieces:
            yield event("piece", {"text": piece})
        yield event("answer", whole(service, pieces.answer, request_id))
    except Exception as error:  # noqa: BLE001 - the status has been sent; the error goes into the stream
        yield event("error", body_of(problem_of(error, request_id), path, request_id))
    finally:
        pieces.close()


async def _stats(service: Service) -> dict[str, Any]:
    service.check_ready()
    app, corpus = service.app, service.app.corpus
    return {
        "conf": app.compiled.name,
        "collection": app.compiled.collection,
        "version": __version__,
        "uptime_s": round(time.monotonic() - service.begun, 1),
        "corpus": {
            "version": corpus.version,
            "files": corpus.files,
            "failed": [{"file": failed.file, "reason": failed.reason} for failed in corpus.failed],
            "nodes": corpus.nodes,
        },
        "cache": app.cache.statistics() if app.cache else None,
        "requests": {
            "answered": service.metrics.answered,
            "running": service.admission.running,
            "waiting": service.admission.waiting,
        },
        "ingest": service.ingest_state(),
        "doc_fields": app.compiled.corpus.doc_fields.thaw(),
        "extensions": sorted(service.documents.extensions),
        "max_upload_mb": service.settings.max_upload_mb,
    }
