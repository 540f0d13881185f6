"""A law: whatever happened before, a start ends in the rows and answers of a store that is built from nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine import Workplace, answers, hashed_registered, stored

from confrag.runtime.places import collection_dir  # isort: skip

NAMES = ("a", "b", "c", "sub/a", "sub/deep/d")
SENTENCES = ("Bees dance.", "Owls hunt at night.", "Seals rest.", "Eels migrate, slowly.", "Newts sleep.")
QUESTIONS = ["What do owls do at night?", "Who sleeps?", "eels"]
CONFIGURATIONS = (
    (),
    ("node_groups.MediumChunk.transform.separator=','",),
    ("+models.embed.dim=32",),
    ("recall=multi_route", "rerank=none", "node_groups.sentence.transform={kind: split, separator: '.'}"),
    ("recall=multi_route", "rerank=none", "node_groups.sentence.transform={kind: split, separator: ' '}"),
    ("corpus.exclude=['sub/']",),
)
PLACES = {"map": "store_conf.kwargs.uri={}/own.db", "milvus_flat": "store_conf.kwargs.uri={}/own.db"}
PLACES["chroma"] = "store_conf.kwargs.dir={}/own"

names = st.sampled_from(NAMES)
texts = st.lists(st.sampled_from(SENTENCES), max_size=4).map(" | ".join)
edits = st.one_of(
    st.tuples(st.just("write"), names, texts),
    st.tuples(st.just("remove"), names, names),
    st.tuples(st.just("rename"), names, names),
)
rounds = st.lists(st.tuples(st.lists(edits, max_size=4), st.sampled_from(CONFIGURATIONS)), min_size=1, max_size=4)


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


def edit(docs: Path, action: str, name: str, other: str) -> None:
    path = docs / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if action == "write":
        path.write_text(other)
    elif action == "remove":
        path.unlink(missing_ok=True)
    elif path.exists():
        target = docs / f"{other}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def check(preset: str, steps: list[tuple[list[tuple[str, str, str]], tuple[str, ...]]], named: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chunks = "node_groups.MediumChunk.transform={kind: split, separator: ' | '}"
        place = Workplace(Path(folder), common=(chunks,))
        # One that stays: without a readable file there is nothing to start.
        place.write(zebra="Zebras graze.")
        own = place.root / "named"
        own.mkdir()
        where = (PLACES[preset].format(own),) if named else ()
        for edits, configuration in steps:
            for action, name, other in edits:
                edit(place.docs, action, name, other)
            app = place.load(preset, *where, *configuration)
            with app:
                found, report = answers(app, QUESTIONS), app.corpus
            rows, expected, built = place.twin(preset, *configuration, questions=QUESTIONS)
            assert found == expected
            assert (report.version, report.nodes, report.failed) == (built.version, built.nodes, built.failed)
            assert stored(own if named else collection_dir(app.compiled)).differences(rows) == []
            # A file that could not be read is looked at once more as long as it is young.
            assert app.plan().up_to_date or report.failed


def law(preset: str, examples: int) -> Callable[..., None]:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(steps=rounds, named=st.booleans())
    def law(steps: list[tuple[list[tuple[str, str, str]], tuple[str, ...]]], named: bool) -> None:
        check(preset, steps, named)

    return law


test_map = law("map", 6)
test_chroma = law("chroma", 2)
test_milvus = law("milvus_flat", 2)
