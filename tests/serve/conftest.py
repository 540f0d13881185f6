"""Services that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.engine import Workplace, hashed_registered
from tests.serve.running import Served, serving


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The sample corpus, hashed words for vectors, passages for answers, a cache; no test changes its documents."""
    place = Workplace(tmp_path_factory.mktemp("sample"))
    overrides = ("corpus.path=pkg://confrag.sample", "cache=exact", "doc_fields.line=string")
    with ExitStack() as stack:
        # What a module's fixture has set is not meant for what outlives it, nor the other way round.
        with hashed_registered(), pytest.MonkeyPatch.context() as environment:
            for name in ("CONFRAG_READ_TOKEN", "CONFRAG_WRITE_TOKEN"):
                environment.delenv(name, raising=False)
            running = stack.enter_context(serving(place.load("quickstart", *overrides)))
        yield running


@pytest.fixture(scope="session")
def http(sample: Served) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=sample.url, timeout=30) as client:
        yield client
