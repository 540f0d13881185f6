"""Every packaged preset, and every way to recall, answers a question from the sample corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import confrag
from confrag.config.sources import options
from tests.chat import chat_server
from tests.integration.conftest import Running

pytestmark = pytest.mark.models

QUESTION, FILE = "Who founded the ferry line?", "history.md"
CHINESE = ("捡到的物品会保管多少天？", "zh/lost-property.txt")
REMOTE = {"milvus_remote": "milvus_server", "chroma_remote": "chroma_server"}
SPEAKING = {"openai_compatible", "qa_rewrite"}
"""Presets whose point is a model that writes."""
PAIR = "Q: Who founded the line?\nA: Ida Marsh."


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all, so that each text is embedded once."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def llm() -> Iterator[tuple[str, ...]]:
    def reply(message: str) -> str:
        return QUESTION if message == QUESTION else "Ida Marsh [1]." if "Passages:" in message else PAIR

    with chat_server(reply) as server:
        yield "llm=openai_compatible", f"models.llm.base_url={server.url}", "models.llm.model=test"


@pytest.mark.parametrize("preset", options("conf"))
def test_a_preset_runs(preset: str, state: Path, llm: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    more = list(llm) if preset in SPEAKING else ["llm=extractive"]
    if preset == "online":
        more = [*llm[1:], "embed=bge_small_en"]  # the same interface, at an address of our own
    if preset in REMOTE:
        running: Running = request.getfixturevalue(REMOTE[preset])
        more.append(f"store_conf.kwargs.uri={running.uri}")
        more += [f"+store_conf.kwargs.{key}={value}" for key, value in running.arguments.items()]
    query, file = CHINESE if preset == "chinese" else (QUESTION, FILE)
    with confrag.load(preset, [f"state_dir='{state}'", *more]) as app:
        answer = app.ask(query)
    assert answer.text
    assert file in {source.file for source in answer.sources}


@pytest.mark.parametrize("recall", [name for name in options("recall") if name not in ("qa_rewrite", "hybrid_sparse")])
@pytest.mark.parametrize("rerank", ["none", "mmr"])
def test_a_recall_runs(recall: str, rerank: str, state: Path) -> None:
    query, file = CHINESE if recall == "hybrid_chinese" else (QUESTION, FILE)
    overrides = ["llm=extractive", f"state_dir='{state}'", f"recall={recall}", f"rerank={rerank}"]
    embed = ["embed=e5_multilingual"] if recall == "hybrid_chinese" else []
    with confrag.load("map", [*overrides, *embed]) as app:
        assert file in {hit.file for hit in app.retrieve(query)}
