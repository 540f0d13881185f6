"""The interface of OpenAI: ``/v1/chat/completions``, ``/v1/models`` and ``/v1/embeddings``."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from confrag.build.models.protocols import Vectors
from confrag.build.models.tokens import Gpt2Tokenizer
from confrag.serve.at_hand import remember
from confrag.serve.connection import while_connected
from confrag.serve.openai_chat import Completion, end, event, same
from confrag.serve.openai_errors import error_of
from confrag.serve.openai_parameters import ParameterError
from confrag.serve.openai_requests import (
    ChatRequest,
    EmbeddingRequest,
    conversation,
    wrong,
)
from confrag.serve.openai_responses import ChatCompletion, Embedding, EmbeddingList, EmbeddingUsage, Model, ModelList
from confrag.serve.problems import body_of, problem_of
from confrag.serve.service import Pieces, Service

__all__ = ["router"]


class _Route(APIRoute):
    """What is not as described is a bad request, 400, as with OpenAI."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                raise wrong(error) from None

        return handle


def router(service: Service) -> APIRouter:
    """The routes of a service.

    What a client says about sampling (`temperature`, `max_tokens`, `seed`, ...) is taken and left unused: how the
    answer is written is the configuration's affair, as is what the model is told, so that messages of the system are
    left out. What would change the meaning (`tools`, `n`, `response_format`, ...) is refused, by its name.
    """
    routes = APIRouter(prefix="/v1", tags=["OpenAI"], route_class=_Route)
    plan = service.app.compiled
    created = int(time.time())
    answering = Model(id=service.name, created=created, role="chat")
    embedding = [Model(id=model.name, created=created, role="embed") for model in plan.models if model.role == "embed"]
    quotes = plan.model(plan.answer.model).kind == "extractive"

    @routes.post("/chat/completions", response_model=ChatCompletion, summary="Answer the last message")
    async def complete(asked: ChatRequest, request: Request) -> ChatCompletion | StreamingResponse:
        """The messages before it are the history; with `stream`, OpenAI's chunks as server-sent events."""
        asked.check()
        _named(asked.model, [answering], "chat model")
        question, history = conversation(asked.messages)
        completion = Completion(
            answering.id,
            citations=bool(asked.citations),
            quotes=quotes,
            count=bool(asked.stream_options and asked.stream_options.include_usage),
            source=service.source,
        )
        if not asked.stream:
            if known := service.known(question, asked.filters, history):
                answer = completion.whole(known[0])
                remember(request, known[1], same(answer), end)
                return answer
            return completion.whole(await while_connected(request, service.ask(question, asked.filters, history)))
        pieces = service.stream(question, asked.filters, history)
        await while_connected(request, pieces.open())  # what goes wrong before the first piece has its own status
        events = _events(completion, pieces, request)
        return StreamingResponse(events, media_type="text/event-stream")

    @routes.get("/models", summary="What may be named as `model`")
    async def list_models() -> ModelList:
        """The configuration, which answers, and its embedding models."""
        return ModelList(data=[answering, *embedding])

    @routes.get("/models/{name:path}", summary="One of the models")
    async def get_model(name: str) -> Model:
        return _named(name, [answering, *embedding])

    @routes.post("/embeddings", summary="Embed texts as the engine does it")
    async def embed(asked: EmbeddingRequest) -> EmbeddingList:
        asked.check()
        model = _named(asked.model, embedding, "embedding model")
        texts = asked.texts()
        questions = asked.input_type == "query"

        def work() -> tuple[Any, int]:
            vectors = service.app.embed(texts, model.id, questions=questions)
            return vectors, sum(map(Gpt2Tokenizer().count, texts))

        vectors, tokens = await service.work(work)
        if not isinstance(vectors, np.ndarray):
            raise ParameterError("model", f"model = '{model.id}': OpenAI's interface has no form for sparse vectors")
        if asked.dimensions not in (None, vectors.shape[1]):
            raise ParameterError(
                "dimensions",
                f"dimensions = {asked.dimensions}: the vectors of '{model.id}' have {vectors.shape[1]}; leave it out",
            )
        shown = _base64 if asked.encoding_format == "base64" else np.ndarray.tolist
        return EmbeddingList(
            data=[Embedding(index=index, embedding=shown(vector)) for index, vector in enumerate(vectors)],
            model=model.id,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )

    return routes


async def _events(completion: Completion, pieces: Pieces, request: Request) -> AsyncIterator[str]:
    """The chunks of an answer. A client that goes away closes this, and that stops the model."""
    try:
        yield completion.first()
        async for piece in pieces:
            yield completion.piece(piece)
        for chunk in completion.last(pieces.answer):
            yield chunk
    except Exception as error:  # noqa: BLE001 - the status has been sent; the error goes into the stream
        request_id: str = request.state.request_id
        problem = body_of(problem_of(error, request_id), request.url.path, request_id)
        yield event({"error": error_of(problem)})
    finally:
        pieces.close()


def _named(name: str | None, models: Sequence[Model], kind: str = "model") -> Model:
    """The model of a name, which may be left out where there is only one."""
    if name is None and len(models) == 1:
        return models[0]
    for model in models:
        if model.id == name:
            return model
    place = "model: left out" if name is None else f"model = {name!r:.80}: there is no such {kind}"
    there_are = (
        f"there are: {', '.join(model.id for model in models)}" if models else f"the configuration has no {kind}"
    )
    raise ParameterError("model", f"{place}; {there_are}", "model_not_found", status=404)


def _base64(vector: Vectors) -> str:
    return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode("ascii")
