"""Real servers, started once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration import servers


@dataclass(frozen=True)
class Running:
    """A server, its address, and the further arguments of a store on it."""

    kind: str
    server: servers.Server
    uri: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _run(
    factory: pytest.TempPathFactory, start: Callable[[Path], tuple[servers.Server, str]], **arguments: Any
) -> Iterator[Running]:
    folder = factory.mktemp(start.__name__)
    try:
        server, uri = start(folder)
        yield Running("Chroma" if start is servers.chroma else "Milvus", server, uri, arguments)
        server.stop()
    finally:
        # A Milvus server takes 500 MB, and pytest keeps the folders of the last sessions.
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Milvus standalone, which asks for a token."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CONFRAG_TEST_MILVUS_TOKEN", servers.MILVUS_TOKEN)
        yield from _run(tmp_path_factory, servers.milvus, token_env="CONFRAG_TEST_MILVUS_TOKEN")


@pytest.fixture(scope="session")
def milvus_lite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Milvus Lite, as a server of its own."""
    yield from _run(tmp_path_factory, servers.milvus_lite)


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Chroma's server."""
    yield from _run(tmp_path_factory, servers.chroma)
