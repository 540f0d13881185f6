"""confrag's own interface, against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import confrag
from confrag.build.nodes import document_id
from tests.serve.running import Served

QUESTION = (
    "Was the line founded in 1911 by a schoolteacher from Northwick, tired of rowing her pupils across Lake Veldra?"
)
FOUNDER = "Ida Marsh"


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """The server-sent events of a response."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_an_answer(http: httpx.Client, sample: Served) -> None:
    response = http.post("/api/ask", json={"query": QUESTION})
    assert response.status_code == 200
    answer = response.json()
    assert FOUNDER in answer["answer"]
    assert answer["query"] == QUESTION
    assert answer["corpus_version"] == sample.app.corpus.version
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["timings_ms"]["total"] > 0
    source = answer["sources"][0]
    assert source["file_id"] == document_id(source["file"])
    assert {"id", "file", "group", "score", "rerank_score", "route", "text", "metadata"} < set(source)


def test_the_steps_of_an_answer_are_nodes_of_the_graph(http: httpx.Client) -> None:
    answer = http.post("/api/ask", json={"query": "Which boat was the first one?"}).json()
    nodes = {node["span"]: node["kind"] for node in http.get("/api/graph").json()["nodes"] if "span" in node}
    steps = {f"{step['stage']}:{step['name']}": step for step in answer["spans"]}
    assert set(steps) == set(nodes) == {"cache:look", "retrieve:chunk", "generate:extractive"}
    for step in steps.values():
        assert step["start_ms"] >= 0
        assert step["start_ms"] + step["ms"] <= answer["timings_ms"]["total"]


def test_an_answer_piece_by_piece(http: httpx.Client) -> None:
    asked = {"query": "When does the last ferry leave?", "stream": True}
    with http.stream("POST", "/api/ask", json=asked) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        found = list(events(response))
    *pieces, (name, answer) = found
    assert name == "answer"
    assert {name for name, _ in pieces} == {"piece"}
    assert "".join(data["text"] for _, data in pieces) == answer["answer"]
    assert answer["request_id"] == response.headers["x-request-id"]
    assert "first_token" in answer["timings_ms"]


def test_an_answer_of_the_cache(http: httpx.Client) -> None:
    asked = {"query": "How long is the Perseverance?"}
    first, second = (http.post("/api/ask", json=asked).json() for _ in range(2))
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["answer"] == first["answer"]
    assert second["sources"][0]["file_id"] == first["sources"][0]["file_id"]


def test_passages(http: httpx.Client) -> None:
    found = http.post("/api/retrieve", json={"query": QUESTION, "topk": 2}).json()
    assert len(found["hits"]) == 2
    assert FOUNDER in found["hits"][0]["text"]
    assert found["hits"][0]["file_id"]
    more = http.post("/api/retrieve", json={"query": QUESTION, "topk": 9}).json()
    assert len(more["hits"]) == 9


def test_only_some_documents(http: httpx.Client) -> None:
    every = http.post("/api/retrieve", json={"query": QUESTION}).json()["hits"]
    one = every[-1]["file"]
    assert {hit["file"] for hit in every} != {one}
    hits = http.post("/api/retrieve", json={"query": QUESTION, "filters": {"file": one}}).json()["hits"]
    assert {hit["file"] for hit in hits} == {one}


def test_a_filter_on_what_is_not_declared(http: httpx.Client) -> None:
    response = http.post("/api/ask", json={"query": QUESTION, "filters": {"lines": "north"}})
    assert response.status_code == 400
    assert response.json()["detail"] == (
        "filters.lines: there is no field of this name to filter by; known: line, file (declare it in doc_fields). "
        "Did you mean 'line'?"
    )


def test_the_graph_in_three_forms(http: httpx.Client, sample: Served) -> None:
    assert http.get("/api/graph").json() == json.loads(json.dumps(sample.app.describe()))
    assert http.get("/api/graph", params={"format": "mermaid"}).text.startswith("flowchart TD")
    assert http.get("/api/graph", params={"format": "text"}).text.startswith("quickstart (collection ")
    refused = http.get("/api/graph", params={"format": "svg"})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "format: input should be 'json', 'mermaid' or 'text'"


def test_the_plan(http: httpx.Client) -> None:
    plan = http.get("/api/plan").json()
    assert plan["up_to_date"] is True
    assert len(plan["unchanged"]) == 13


def test_about(http: httpx.Client) -> None:
    about = http.get("/api/about").json()
    assert about == {"name": "quickstart", "version": confrag.__version__, "ui": {"write": True, "auth": False}}


def test_statistics(http: httpx.Client, sample: Served) -> None:
    http.post("/api/ask", json={"query": "How deep is the lake?"})
    stats = http.get("/api/stats").json()
    assert stats["conf"] == "quickstart"
    assert stats["corpus"] == {
        "version": sample.app.corpus.version,
        "files": 13,
        "failed": [],
        "nodes": sample.app.corpus.nodes,
    }
    assert stats["requests"]["answered"] > 0
    assert stats["requests"]["running"] == stats["requests"]["waiting"] == 0
    assert stats["ingest"] == {"state": "idle", "stage": "", "done": 0, "total": 0, "error": None}
    assert stats["doc_fields"] == {"line": "string"}
    assert {"md", "pdf"} < set(stats["extensions"])
    assert stats["max_upload_mb"] == 50
    assert stats["cache"] == json.loads(json.dumps(sample.app.cache.statistics())) if sample.app.cache else False


def test_health(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready"}


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_figures_for_prometheus(http: httpx.Client, sample: Served) -> None:
    names = {
        'confrag_requests_total{method="POST",route="/api/ask",status="200"}': 2,
        'confrag_cache_total{result="hit"}': 1,
        'confrag_cache_total{result="miss"}': 1,
        'confrag_stage_seconds_count{stage="retrieve"}': 1,
        'confrag_stage_seconds_count{stage="total"}': 2,
        'confrag_request_seconds_count{route="/api/ask"}': 2,
    }
    before = http.get("/metrics").text
    for _ in range(2):
        http.post("/api/ask", json={"query": "Is there coffee on board?"})
    after = http.get("/metrics").text
    assert {name: figure(after, name) - figure(before, name) for name in names} == names
    report = sample.app.corpus
    assert figure(after, f'confrag_corpus_info{{version="{report.version}"}}') == 1
    assert figure(after, "confrag_files") == 13
    assert figure(after, 'confrag_nodes{group="MediumChunk"}') == report.nodes["MediumChunk"]
    assert figure(after, "confrag_running") == figure(after, "confrag_queue_length") == 0


def test_routes_that_do_not_exist_are_counted_as_one(http: httpx.Client) -> None:
    for path in ("/a", "/b"):
        http.get(path)
    http.request("PROPFIND", "/a")
    text = http.get("/metrics").text
    assert figure(text, 'confrag_requests_total{method="GET",route="none",status="404"}') >= 2
    assert figure(text, 'confrag_requests_total{method="other",route="none",status="404"}') == 1
    assert '"/a"' not in text
    assert "PROPFIND" not in text


def test_openapi_without_a_network(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/")
        assert http.get(address).status_code == 200
    described = http.get("/openapi.json").json()
    assert {"/api/ask", "/api/retrieve", "/api/graph", "/api/plan", "/api/stats", "/healthz"} <= set(described["paths"])
    assert described["security"] == [{"token": []}]
    refused = described["paths"]["/api/ask"]["post"]["responses"]
    assert set(refused) == {"200", "422", "4XX", "5XX"}
    assert set(refused["422"]["content"]) == {"application/problem+json"}


@pytest.mark.parametrize("history", [[{"role": "system", "content": "x"}], [{"role": "user"}], "x", [3]])
def test_a_history_that_is_none(http: httpx.Client, history: Any) -> None:
    response = http.post("/api/ask", json={"query": QUESTION, "history": history})
    assert response.status_code == 422
    assert "history" in response.json()["detail"]


def test_a_stream_that_is_refused_has_its_own_status(http: httpx.Client) -> None:
    response = http.post("/api/ask", json={"query": "Dogs?", "filters": {"nothing": 1}, "stream": True})
    assert response.status_code == 400
    assert "nothing" in response.json()["detail"]
