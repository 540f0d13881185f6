"""The interface of OpenAI: its own client, unmodified, against a real server."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import confrag
from tests.chat import ChatServer, Fault, chat_server
from tests.engine import Workplace, hashed_registered
from tests.integration.test_sparse import STORES, HashedSparseSpec, build_hashed_sparse
from tests.integration.test_streaming import Endless, endless
from tests.serve.running import Served, serving

STEPS = "{rewrite: {kind: rewrite}, search: {kind: retrieve, retriever: chunk}}"
REWRITING = ("~recall.steps", f"+recall.steps={STEPS}", "generation.max_tokens=60", "models.llm.retries=0")
FACTS = 64
ANSWER = "It opens at nine [1], or not [9]."
CLEAN = "It opens at nine [1], or not."
FIRST = "When does the harbour office open?"
FOLLOWING = "and at weekends?"
STANDALONE = "When does the harbour office open at weekends?"
SAID = [{"role": "user", "content": FIRST}, {"role": "assistant", "content": "At nine [1]."}]


def reply(message: str) -> str | Fault | None:
    """What the model says: to a question that is to be rewritten, and to one that is to be answered."""
    asked = message.rpartition("Question: ")[2]
    if asked == message:
        return STANDALONE if message == FOLLOWING else message
    if "broken" in asked:
        return Fault(500)
    if "torn" in asked:
        return Fault(pieces=("It ", "opens "))
    if "long" in asked:
        return "word " * 100
    if fact := re.search(r"fact (\d+)", asked):
        return f"The number is {fact[1]}. " * 9
    return ANSWER


@pytest.fixture(scope="module")
def model() -> Iterator[ChatServer]:
    with chat_server(reply) as running:
        running.usage = {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47}
        yield running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model: ChatServer) -> Iterator[Served]:
    llm = ("llm=openai_compatible", f"models.llm.base_url={model.url}", "models.llm.model=test")
    place = Workplace(tmp_path_factory.mktemp("openai"), common=(*llm, *REWRITING, "doc_fields.year=int"))
    place.write(office="The harbour office opens at nine. It closes at noon on Saturdays.", boats="Boats float.")
    (place.docs / "office.txt.meta.json").write_text('{"year": 2020}')
    (place.docs / "boats.txt.meta.json").write_text('{"year": 1999}')
    with hashed_registered(), serving(place.load("map")) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0) as opened:
        yield opened


def ask(client: OpenAI, question: str, **more: Any) -> Any:
    return client.chat.completions.create(model="map", messages=[{"role": "user", "content": question}], **more)


def post(served: Served, route: str, body: Any) -> httpx.Response:
    return httpx.post(f"{served.url}/v1/{route}", json=body, timeout=30)


def test_a_completion(client: OpenAI) -> None:
    begun = int(time.time())
    answer = ask(client, FIRST)
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert choice.message.content == CLEAN
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", answer.id)
    assert answer.id != ask(client, FIRST).id
    assert (answer.object, answer.model) == ("chat.completion", "map")
    assert begun <= answer.created <= time.time()
    assert answer.sources[0]["file"] == "office.txt"
    assert "opens at nine" in answer.sources[0]["text"]
    assert answer.sources[0]["file_id"]
    about = answer.confrag
    assert (about["cached"], about["partial"], about["rewritten"], about["citations"]) == (False, False, FIRST, [1])
    assert about["timings_ms"]["total"] > 0


def test_the_usage_is_that_of_all_calls_of_the_model(client: OpenAI, model: ChatServer) -> None:
    before = len(model.requests)
    usage = ask(client, FIRST).usage
    assert len(model.requests) == before + 2  # the question is rewritten, too
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (80, 14, 94)


def test_a_stream(client: OpenAI) -> None:
    chunks = list(ask(client, FIRST, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == CLEAN
    assert sum(map(bool, pieces)) > 3
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert chunks[0].object == "chat.completion.chunk"
    assert chunks[-1].sources[0]["file"] == "office.txt"
    assert chunks[-1].confrag["citations"] == [1]
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_that_counts_its_tokens(client: OpenAI) -> None:
    *chunks, last = ask(client, FIRST, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (80, 14, 94)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_stream_as_it_goes_over_the_wire(served: Served) -> None:
    response = post(served, "chat/completions", {"stream": True, "messages": [{"role": "user", "content": FIRST}]})
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "usage" not in chunks[0]
    assert chunks[-1]["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]


def test_a_model_that_is_cut_short_says_length(client: OpenAI) -> None:
    (choice,) = ask(client, "a long story").choices
    assert choice.finish_reason == "length"
    *_, last = ask(client, "a long story", stream=True)
    assert last.choices[0].finish_reason == "length"


def test_the_history_is_used(client: OpenAI, model: ChatServer) -> None:
    before = len(model.requests)
    system = [{"role": "system", "content": "You are a pirate."}, {"role": "developer", "content": "Ahoy."}]
    answer = client.chat.completions.create(
        model="map", messages=[*system, *SAID, {"role": "user", "content": FOLLOWING}]
    )
    assert answer.confrag["rewritten"] == STANDALONE
    rewriting, answering = (request["messages"] for request in model.requests[before:])
    assert f"user: {FIRST}\nassistant: At nine [1]." in rewriting[0]["content"]
    assert rewriting[1]["content"] == FOLLOWING
    assert answering[1]["content"].endswith(f"Question: {FOLLOWING}")
    assert "pirate" not in str(model.requests[before:])
    assert "Ahoy" not in str(model.requests[before:])


def test_texts_in_parts_and_messages_without_a_text(client: OpenAI, model: ChatServer) -> None:
    before = len(model.requests)
    parts = [{"type": "text", "text": "When does the harbour office"}, {"type": "text", "text": "open?"}]
    empty = [{"role": "assistant", "content": None}, {"role": "user", "content": ""}]
    answer = client.chat.completions.create(
        model="map",
        messages=[*empty, {"role": "user", "content": parts, "name": "ann"}, {"role": "assistant", "content": ""}],
    )
    assert answer.choices[0].message.content == CLEAN
    assert model.requests[before]["messages"][1]["content"] == "When does the harbour office\nopen?"
    assert "onversation" not in str(model.requests[before:])


@pytest.mark.parametrize("stream", [False, True])
def test_the_cited_files_on_request(client: OpenAI, stream: bool) -> None:
    answer = ask(client, FIRST, stream=stream, extra_body={"citations": True})
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text == f"{CLEAN}\n\n[1] office.txt"


def test_an_answer_that_cites_nothing_gets_no_list(client: OpenAI) -> None:
    assert (
        ask(client, "fact 7", extra_body={"citations": True}).choices[0].message.content
        == ("The number is 7. " * 9).strip()
    )


def test_filters(client: OpenAI) -> None:
    def files(**filters: Any) -> list[str]:
        return [source["file"] for source in ask(client, FIRST, extra_body={"filters": filters}).sources]

    assert files(year=1999) == ["boats.txt"]
    assert files(year={">=": 2000}) == files(file=["office.txt"]) == ["office.txt"]
    with pytest.raises(openai.BadRequestError, match=r"there is no field of this name to filter by; known: year, file"):
        ask(client, FIRST, extra_body={"filters": {"yeer": 1999}})
    with pytest.raises(openai.BadRequestError, match=r"there is no field of this name to filter by"):
        ask(client, FIRST, stream=True, extra_body={"filters": {"yeer": 1999}})


def test_what_says_how_to_write_is_taken(client: OpenAI) -> None:
    answer = ask(
        client,
        FIRST,
        temperature=0.7,
        top_p=0.9,
        max_tokens=5,
        max_completion_tokens=5,
        seed=1,
        user="ann",
        n=1,
        stop=None,
        tools=[],
        tool_choice="none",
        response_format={"type": "text"},
        presence_penalty=0.1,
        logprobs=False,
        metadata={"a": "b"},
    )
    assert answer.choices[0].message.content == CLEAN


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"n": 2}, "n = 2: a question has one answer; leave 'n' out"),
        ({"tools": [TOOL]}, "the answer is one text, written by the configured pipeline; leave 'tools' out"),
        ({"tool_choice": "required"}, "tool_choice = 'required': the answer is one text"),
        (
            {"response_format": {"type": "json_object"}},
            "response_format = {'type': 'json_object'}: the answer is plain",
        ),
        ({"logprobs": True}, "logprobs = True: the model's probabilities are not kept"),
        ({"stop": ["\n"]}, r"stop = ['\n']: the answer ends where the model ends it"),
        ({"logit_bias": {"1": 5}}, "logit_bias = {'1': 5}: the model's vocabulary"),
        ({"extra_body": {"filter": {"year": 1999}}}, "filter: there is no such parameter. Did you mean 'filters'?"),
        ({"extra_body": {"top_logprobs": 3}}, "top_logprobs = 3: the model's probabilities"),
        ({"extra_body": {"filters": "year"}}, "filters = 'year': input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(client: OpenAI, more: dict[str, Any], message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(message)) as caught:
        ask(client, FIRST, **more)
    (name,) = more.get("extra_body", more)
    assert caught.value.param == name
    assert caught.value.type == "invalid_request_error"


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("messages", "param", "message"),
    [
        ([], "messages", "messages = []: list should have at least 1 item"),
        ([{"role": "system", "content": "x"}], "messages", "messages: the question is missing, a last message with"),
        ([{"role": "user", "content": None}], "messages[0].content", "messages[0].content: the question is empty"),
        (
            [*SAID, {"role": "user", "content": " "}],
            "messages[2].content",
            "messages[2].content: the question is empty",
        ),
        (SAID, "messages[1].role", "messages[1].role = 'assistant': the last message must be the question"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}],
            "messages[0].content[1]",
            "messages[0].content[1].type = 'image_url': only parts of the type 'text' are read",
        ),
        (
            [*SAID, {"role": "tool", "tool_call_id": "1", "content": "x"}],
            "messages[2].role",
            "messages[2].role = 'tool': the answer is one text, written by the configured pipeline; tools are not call",
        ),
        ([{"role": "bot", "content": "x"}], "messages[0].role", "messages[0].role = 'bot': input should be 'system'"),
        ([{"role": "user", "content": 5}], "messages[0].content", "messages[0].content = 5: must be a text, or a list"),
        ([{"content": "x"}], "messages[0].role", "messages[0].role: is missing"),
        (
            [{"role": "user", "content": "x" * 1_000_001}],
            "messages[0].content",
            "xxx: string should have at most 1000000 characters",
        ),
    ],
)
def test_messages_that_hold_no_question(client: OpenAI, messages: Any, param: str, message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(message)) as caught:
        client.chat.completions.create(model="map", messages=messages)
    assert caught.value.param == param


def test_an_error_is_a_problem_and_openais_error(served: Served) -> None:
    response = post(served, "chat/completions", {"messages": [{"role": "user", "content": "x"}], "n": 3})
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    problem = response.json()
    assert problem["detail"] == problem["error"]["message"] == "n = 3: a question has one answer; leave 'n' out"
    assert problem["error"] == {
        "message": problem["detail"],
        "type": "invalid_request_error",
        "param": "n",
        "code": "unsupported_parameter",
    }
    assert problem["request_id"] == response.headers["x-request-id"]
    typed = {"Content-Type": "application/json"}
    broken = httpx.post(f"{served.url}/v1/chat/completions", content=b"{", headers=typed)
    assert (broken.status_code, broken.json()["error"]["param"]) == (400, None)
    assert broken.json()["error"]["message"].startswith("the body is not JSON")
    untyped = httpx.post(f"{served.url}/v1/embeddings", content=b'{"input": "x"}')
    assert (untyped.status_code, untyped.json()["error"]["message"]) == (
        400,
        "the body must be a JSON object, sent with Content-Type: application/json",
    )
    halved = httpx.post(f"{served.url}/v1/embeddings", content=rb'{"input": "\ud800"}', headers=typed)
    assert halved.json()["error"]["message"].startswith("input = '\\ud800': input should be a valid string, unable")
    missing = post(served, "nowhere", {})
    assert missing.status_code == 404
    assert missing.json()["error"]["message"] == "there is nothing at this address"


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_does_not_answer(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError, match="gave no answer") as caught:
        ask(client, "broken?", stream=stream)
    assert caught.value.status_code == 503
    assert caught.value.type == "server_error"


def test_an_error_in_the_middle_of_a_stream(client: OpenAI) -> None:
    stream = ask(client, "torn?", stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(3)] == ["", "It", " opens"]
    with pytest.raises(openai.APIError, match="the answer broke off after it had begun") as caught:
        next(stream)
    assert not isinstance(caught.value, openai.APIStatusError)
    assert caught.value.type == "server_error"


def test_models(client: OpenAI) -> None:
    listed = client.models.list().data
    assert [(model.id, model.object, model.owned_by, model.role) for model in listed] == [
        ("map", "model", "confrag", "chat"),
        ("embed", "model", "confrag", "embed"),
    ]
    assert client.models.retrieve("embed") == listed[1]
    with pytest.raises(openai.NotFoundError, match="model = 'gpt-4': there is no such model; there are: map, embed"):
        client.models.retrieve("gpt-4")


def test_a_model_that_there_is_not(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": FIRST}]
    with pytest.raises(openai.NotFoundError, match="model = 'gpt-4': there is no such chat model; there are: map") as e:
        client.chat.completions.create(model="gpt-4", messages=messages)
    assert (e.value.code, e.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError, match="model = 'map': there is no such embedding model; there are: embed"):
        client.embeddings.create(model="map", input="x")


@pytest.mark.parametrize("form", ["default", "float", "base64"])
def test_embeddings_are_the_engines(client: OpenAI, served: Served, form: Any) -> None:
    texts = ["The harbour office.", "Boats float.", "船"]
    more = {} if form == "default" else {"encoding_format": form}
    given = client.embeddings.create(model="embed", input=texts, **more)
    assert [entry.index for entry in given.data] == [0, 1, 2]
    rows = [entry.embedding for entry in given.data]
    if form == "base64":
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
    expected = np.stack([served.app.embed([text], "embed")[0] for text in texts])
    np.testing.assert_array_equal(np.asarray(rows, np.float32), expected)
    assert (given.model, given.usage.prompt_tokens, given.usage.total_tokens) == ("embed", 10, 10)


def test_one_text_and_a_question(client: OpenAI, served: Served) -> None:
    one = client.embeddings.create(model="embed", input="When?", dimensions=128, extra_body={"input_type": "query"})
    expected = served.app.embed(["When?"], questions=True)
    np.testing.assert_array_equal(np.asarray([one.data[0].embedding], np.float32), expected)


@pytest.mark.parametrize(
    ("given", "param", "message"),
    [
        ({"dimensions": 64}, "dimensions", "dimensions = 64: the vectors of 'embed' have 128; leave it out"),
        ({"input": ""}, "input", "input: the text is empty"),
        ({"input": ["x", " "]}, "input[1]", "input[1]: the text is empty"),
        ({"input": []}, "input", "input = []: must be a text, or a list of 1 to 2048 texts"),
        ({"input": [[15339, 1917]]}, "input", "input: these are token ids of another vocabulary; send texts"),
        ({"extra_body": {"kind": 1}}, "kind", "kind: there is no such parameter"),
        (
            {"extra_body": {"input_type": "doc"}},
            "input_type",
            "input_type = 'doc': input should be 'passage' or 'query'",
        ),
    ],
)
def test_embeddings_that_cannot_be_had(client: OpenAI, given: Any, param: str, message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(message)) as caught:
        client.embeddings.create(**{"model": "embed", "input": "x", **given})
    assert caught.value.param == param


def test_the_engine_names_the_models_that_embed(served: Served) -> None:
    with pytest.raises(confrag.UserError, match="model = 'x': no embedding model of that name; there are: embed"):
        served.app.embed(["a"], "x")


def test_sparse_vectors_have_no_form(tmp_path: Path) -> None:
    models = ("embed=hashed", "+models.sparse={role: embed, kind: hashed_sparse}")
    place = Workplace(tmp_path, common=(*models, "retrievers.chunk.embed_keys=[embed, sparse]"))
    place.write(office="The harbour office opens at nine.")
    with hashed_registered():
        confrag.register("models", "hashed_sparse", HashedSparseSpec, build_hashed_sparse)
        with serving(place.load("quickstart", STORES["milvus"])) as running:
            answer = post(running, "embeddings", {"model": "sparse", "input": "harbour"})
            unnamed = post(running, "embeddings", {"input": "harbour"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        "model = 'sparse': OpenAI's interface has no form for sparse vectors",
    )
    assert (unnamed.status_code, unnamed.json()["error"]["message"]) == (
        404,
        "model: left out; there are: embed, sparse",
    )


def test_the_asynchronous_client(served: Served) -> None:
    async def answer() -> Any:
        async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0) as client:
            models = [model.id async for model in client.models.list()]
            messages: Any = [{"role": "user", "content": FIRST}]
            whole = await client.chat.completions.create(model=models[0], messages=messages)
            vectors = await client.embeddings.create(model=models[1], input=["a", "b"])
            return whole.choices[0].message.content, len(vectors.data)

    assert asyncio.run(answer()) == (CLEAN, 2)


def test_openapi_names_what_is_taken(served: Served) -> None:
    schema = httpx.get(f"{served.url}/openapi.json").json()["components"]["schemas"]["ChatRequest"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["temperature"] == {"description": "Taken, and left unused."}
    assert "which documents may answer" in schema["properties"]["filters"]["description"]
    assert "tools" not in schema["properties"]


def test_parallel_streams_do_not_mix(served: Served) -> None:
    async def one(client: AsyncOpenAI, number: int) -> str:
        messages: Any = [{"role": "user", "content": f"What is fact {number}?"}]
        stream = await client.chat.completions.create(model="map", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_at_once() -> list[str]:
        async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(FACTS)))

    texts = asyncio.run(all_at_once())
    assert texts == [(f"The number is {number}. " * 9).strip() for number in range(FACTS)]


@pytest.fixture(scope="module")
def writing() -> Iterator[Endless]:
    with endless() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, writing: Endless) -> Iterator[Served]:
    """One question at a time, for those who have a token; its model writes and writes."""
    llm = ("llm=openai_compatible", f"models.llm.base_url={writing.url}", "models.llm.model=test", "recall=lexical")
    place = Workplace(tmp_path_factory.mktemp("guarded"), common=llm)
    place.write(office="The harbour office opens at nine.")
    with hashed_registered(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("CONFRAG_TEST_READ_TOKEN", "may-ask")
        app = place.load("map", "generation.max_tokens=4096")
        with serving(
            app, model="harbour", max_concurrency=1, queue=0, read_token_env="CONFRAG_TEST_READ_TOKEN"
        ) as running:
            yield running


def test_tokens(guarded: Served) -> None:
    with OpenAI(base_url=f"{guarded.url}/v1", api_key="may-ask", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["harbour"]
        with pytest.raises(openai.NotFoundError, match="no such embedding model; the configuration has no embedding"):
            client.embeddings.create(model="embed", input="x")
    with (
        OpenAI(base_url=f"{guarded.url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="a token is needed: Authorization: Bearer TOKEN") as caught,
    ):
        client.models.list()
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")


def test_who_goes_away_stops_the_model_and_who_comes_too_much_waits(guarded: Served, writing: Endless) -> None:
    with OpenAI(base_url=f"{guarded.url}/v1", api_key="may-ask", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": FIRST}]

        def stream() -> Any:
            return client.chat.completions.create(model="harbour", messages=messages, stream=True)

        first = stream()
        assert [next(first).choices[0].delta.content for _ in range(3)] == ["", "word0", " word1"]
        with pytest.raises(openai.RateLimitError, match="1 questions are under way and 0 wait") as caught:
            stream()
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
        first.close()
        assert writing.left.wait(30)
        until(lambda: guarded.service.admission.running == 0)
        second = stream()
        assert next(second).choices[0].delta.role == "assistant"
        second.close()


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": FIRST}], "stream": True}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": FIRST}]}),
        ("/api/ask", {"query": FIRST}),
    ],
)
def test_who_goes_away_before_the_answer_stops_the_model_too(
    guarded: Served, writing: Endless, path: str, asked: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It would write for 40 s."""
    body, address = json.dumps(asked), urlsplit(guarded.url)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer may-ask\r\n"
    for writes in (False, True):
        until(lambda: guarded.service.admission.running == 0)
        writing.began.clear()
        writing.left.clear()
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            until(lambda: guarded.service.admission.running == 1)
            assert not writes or writing.began.wait(30)
    assert writing.left.wait(30)
    until(lambda: guarded.service.admission.running == 0)
    gc.collect()
    assert "never retrieved" not in caplog.text  # as asyncio says of errors that nobody has asked for


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_quotations_need_no_model_and_count_no_tokens(tmp_path: Path) -> None:
    place = Workplace(tmp_path, common=("recall=lexical",))
    place.write(office="The harbour office opens at nine. " * 60)
    with (
        hashed_registered(),
        serving(place.load("map")) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client,
    ):
        answer = ask(client, "harbour office")
    (choice,) = answer.choices
    assert choice.message.content.endswith("…")
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == 0
