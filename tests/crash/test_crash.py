"""Ingests that are killed at random moments: the next start ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killing import Forge
from tests.engine import Workplace, answers, hashed_registered, stored

from confrag.runtime.places import collection_dir  # isort: skip

CASES = int(os.environ.get("CONFRAG_CRASH_CASES", "2"))
"""For each store; `make test-crash` asks for 50."""
WORDS = [
    "amber",
    "birch",
    "cedar",
    "dune",
    "ember",
    "fjord",
    "grove",
    "heath",
    "islet",
    "jetty",
    "kelp",
    "lagoon",
    "marsh",
    "nook",
    "ochre",
    "pond",
    "quay",
    "reef",
]
QUESTIONS = ("amber kelp", "a birch beside the lagoon", "Where is the jetty?", "ochre quay", "reef of document 7")
CHUNKS = "node_groups.MediumChunk.transform={kind: split, separator: '. '}"
LARGER = "node_groups.MediumChunk.transform={kind: split, separator: '; '}"
ROUTES = ("recall=multi_route", "rerank=none", "node_groups.sentence.transform={kind: split, separator: ' and '}")
# Wide searches: what an approximate index misses depends on the order in which it was built.
PRESETS = {
    "milvus_hnsw": "+store_conf.kwargs.index_kwargs.search_params={ef: 2000}",
    "chroma": "+store_conf.kwargs={index_kwargs: {hnsw: {ef_search: 2000}}}",
}
NAMED = {"milvus_hnsw": "store_conf.kwargs.uri={}/own.db", "chroma": "+store_conf.kwargs.dir={}/own"}
# What is done to a store that holds the corpus: (at a place of the user's, configuration before, afterwards).
CHANGES = {
    "first": (False, None, (CHUNKS,)),
    "edits": (False, (CHUNKS,), (CHUNKS,)),
    "copy": (False, (CHUNKS, *ROUTES), (CHUNKS, *ROUTES, "node_groups.sentence.transform.separator=' of '")),
    "rebuild": (True, (CHUNKS,), (LARGER,)),
    "embedder": (True, (CHUNKS,), (CHUNKS, "+models.embed.salt=x")),
    "group_comes": (True, (CHUNKS,), (CHUNKS, *ROUTES)),
    "group_goes": (True, (CHUNKS, *ROUTES), (CHUNKS,)),
}


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    opened = Forge()
    yield opened
    opened.close()


def text(number: int, rng: random.Random) -> str:
    def clauses() -> str:
        # A number of its own, or equal ones would be equally near to a question.
        return " and ".join(f"{word} of {rng.randrange(10**6)}" for word in rng.sample(WORDS, 3))

    return "".join(f"Document {number} has {clauses()}{rng.choice(('. ', '; '))}" for _ in range(rng.randint(2, 7)))


def ingest(forge: Forge, place: Workplace, preset: str, *more: str, **options: float) -> dict[str, Any]:
    done = forge.ingest(place.root, preset, *place.common, *more, **options)
    assert done["error"] == ""
    return done


def edit(docs: Path, rng: random.Random) -> None:
    """Changes, removals, renamings and new files."""
    paths = sorted(docs.glob("*.txt"))
    rng.shuffle(paths)
    for path in paths[:8]:
        path.write_text(text(rng.randrange(100), rng))
    for path in paths[8:12]:
        path.unlink()
    for number, path in enumerate(paths[12:15]):
        path.rename(docs / f"renamed{number}.txt")
    for number in range(6):
        (docs / f"new{number}.txt").write_text(text(number, rng))


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize("preset", PRESETS)
def test_a_killed_ingest(preset: str, seed: int, tmp_path: Path, forge: Forge, kills: Counter[tuple[str, str]]) -> None:
    rng = random.Random(f"{preset} {seed}")
    change = list(CHANGES)[seed % len(CHANGES)]
    in_place, before, after = CHANGES[change]
    place = Workplace(tmp_path / "place", common=(PRESETS[preset],))
    for number in range(20):
        (place.docs / f"document{number}.txt").write_text(text(number, rng))
    own = place.root / "named"
    own.mkdir()
    where = (NAMED[preset].format(own),) if in_place else ()
    if before is not None:
        ingest(forge, place, preset, *where, *before)
    edit(place.docs, rng)
    # How long it takes when nobody disturbs it, tried out on the spot: a collection knows where it lies.
    kept = tmp_path / "kept"
    shutil.copytree(place.root, kept)
    undisturbed = ingest(forge, place, preset, *where, *after)
    shutil.rmtree(place.root)
    kept.rename(place.root)
    for _ in range(rng.choice((1, 1, 2, 3))):
        # Opening takes longest, and does least.
        earliest = rng.choice((0, 1, 1)) * undisturbed["opened_s"]
        moment = rng.uniform(earliest, undisturbed["seconds"])
        killed = ingest(forge, place, preset, *where, *after, kill_after_s=moment)
        kills[preset, killed["phase"]] += 1
    app = place.load(preset, *where, *after)
    with app:
        found, report = answers(app, QUESTIONS), app.corpus
    rows, expected, twin = place.twin(preset, *after, questions=QUESTIONS)
    assert (report.nodes, report.version, report.failed) == (twin.nodes, twin.version, ())
    differences = stored(own if in_place else collection_dir(app.compiled)).differences(rows)
    assert differences == [], (change, killed, len(differences))
    assert found == expected
    with app:
        assert (app.corpus.unchanged, app.corpus.embedded) == (report.files, 0)
