"""The same questions have the same answers on every store, wherever it runs."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.engine import Found, Workplace, hashed_registered
from tests.integration.conftest import Running

TOP = 5
CHUNKS = "node_groups.MediumChunk.transform={kind: split, separator: ' | '}"
PLACES = ("map", "chroma", "milvus_flat", "milvus_server", "milvus_lite_server", "chroma_server")


def made(seed: int) -> tuple[dict[str, str], list[str]]:
    """40 documents of 15 passages each, and 50 questions made of their words."""
    chance = random.Random(seed)
    words = [f"{a}{b}{c}" for a in "bdfgklmprst" for b in "aeiou" for c in "nrst"]
    passages = [" ".join(chance.choices(words, k=12)) for _ in range(600)]
    documents = {f"d{number}": " | ".join(passages[number::40]) for number in range(40)}
    questions = [" ".join(chance.sample(passage.split(), 5)) for passage in chance.sample(passages, 50)]
    return documents, questions


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("same"), common=(CHUNKS, f"retrievers.chunk.topk={TOP + 3}"))
    place.write(**made(7)[0])
    return place


def top(place: Workplace, preset: str, *more: str) -> list[Found]:
    with place.load(preset, *more) as app:
        return [[(hit.id, hit.score or 0.0) for hit in app.retrieve(question)] for question in made(7)[1]]


@pytest.fixture(scope="module")
def exact(place: Workplace) -> list[Found]:
    return top(place, "map")


@pytest.mark.parametrize("where", PLACES[1:])
def test_fifty_questions(where: str, place: Workplace, exact: list[Found], request: pytest.FixtureRequest) -> None:
    if where.endswith("_server"):
        running: Running = request.getfixturevalue(where)
        preset = "chroma_remote" if running.kind == "Chroma" else "milvus_remote"
        flat = (
            ()
            if running.kind == "Chroma"
            else ("store_conf.kwargs.index_kwargs.index_type=FLAT", "~store_conf.kwargs.index_kwargs.params")
        )
        kwargs = [f"+store_conf.kwargs.{key}={value}" for key, value in running.arguments.items()]
        found = top(place, preset, f"store_conf.kwargs.uri={running.uri}", *kwargs, *flat)
    else:
        found = top(place, where)
    assert len(found) == 50
    for ours, theirs in zip(exact, found, strict=True):
        assert [round(score, 3) for _, score in theirs[:TOP]] == [round(score, 3) for _, score in ours[:TOP]]
        # Those that tie with the last one may change places with it.
        last = ours[TOP - 1][1] + 1e-5
        assert {uid for uid, score in theirs[:TOP] if score > last} == {
            uid for uid, score in ours[:TOP] if score > last
        }
