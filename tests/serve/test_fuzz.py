"""Requests made up from the OpenAPI of a running service: whatever comes, no answer is an error of the server's.

``CONFRAG_FUZZ_EXAMPLES`` says how many requests of each kind are made to a route; the usual few are the same each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from tests.engine import Workplace, hashed_registered
from tests.serve.running import serving

USUAL = 3
EXAMPLES = int(os.environ.get("CONFRAG_FUZZ_EXAMPLES", USUAL))


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    place = Workplace(tmp_path_factory.mktemp("fuzz"), common=("cache=exact", "doc_fields.year=int"))
    place.write(office="The harbour office opens at nine.", boats="Boats float.")
    with hashed_registered(), serving(place.load("map"), max_upload_mb=1) as running:
        schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
        yield [operation.ok() for operation in schema.get_all_operations()]


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_no_request_makes_the_server_fail(operations: list[Any], mode: schemathesis.GenerationMode) -> None:
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            derandomize=EXAMPLES == USUAL,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def no_failure(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=[not_a_server_error], timeout=30)

        no_failure()
    assert len(operations) > 20
