"""Chat through a real server with the interface of OpenAI: answers, streams, mistakes, and a server that goes away."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import confrag
from confrag.build.models.fetch import ensure
from confrag.build.models.llama import LlamaServer

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    running = LlamaServer(next(ensure("smollm2-135m").glob("*.gguf")))
    yield running
    running.close()


@pytest.fixture
def settings(server: LlamaServer, tmp_path: Path) -> list[str]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tea.md").write_text("Green tea is brewed at eighty degrees.", "utf-8")
    with urllib.request.urlopen(f"{server.base_url}models") as response:
        name = json.load(response)["data"][0]["id"]
    return [
        f"corpus.path='{tmp_path / 'docs'}'",
        f"state_dir='{tmp_path / 'state'}'",
        f"models.llm.base_url={server.base_url}",
        f"models.llm.model='{name}'",
        "generation.max_tokens=24",
    ]


def test_it_answers_and_streams(settings: list[str]) -> None:
    with confrag.load("openai_compatible", overrides=settings) as app:
        answer = app.ask("How hot is the water for green tea?")
        assert answer.text
        assert answer.tokens["prompt"] > 20
        assert 0 < answer.tokens["completion"] <= 24
        assert answer.sources[0].file == "tea.md"
        stream = app.stream("How hot is the water for green tea?")
        pieces = list(stream)
        assert len(pieces) > 1
        assert "".join(pieces) == stream.answer.text
        assert 0 < stream.answer.timings_ms["first_token"] < stream.answer.timings_ms["total"]


def test_a_stream_that_is_left_stops_the_model(settings: list[str]) -> None:
    with confrag.load("openai_compatible", overrides=settings) as app:
        stream = app.stream("How hot is the water for green tea?")
        next(stream)
        stream.close()
        assert list(stream) == []
        assert app.ask("How hot is the water for green tea?").text


def test_a_model_that_it_does_not_serve(settings: list[str]) -> None:
    app = confrag.load("openai_compatible", overrides=[*settings, "models.llm.model=gpt-9"])
    with pytest.raises(confrag.UserError, match=r"does not serve the model 'gpt-9'; it serves: "):
        app.start()


def test_a_server_that_goes_away(settings: list[str], tmp_path: Path) -> None:
    own = LlamaServer(next(ensure("smollm2-135m").glob("*.gguf")))
    with confrag.load("openai_compatible", overrides=[*settings, f"models.llm.base_url={own.base_url}"]) as app:
        assert app.ask("How hot is the water for green tea?").text
        own.close()
        with pytest.raises(
            confrag.ServiceError, match=r"the chat model '.*' at http://127.0.0.1:\d+/v1.* gave no answer: "
        ):
            app.ask("How hot is the water for green tea?")
