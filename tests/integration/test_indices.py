"""Indices beside the store: on every store, over restarts, changes, damage and other processes."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import confrag
from confrag.build.indices.group import Place, TextIndex
from confrag.build.private.stored_nodes import StoredNodes
from confrag.registry import FAMILIES
from confrag.schema.indices import IndexSpec
from tests.engine import STORES, Workplace, answers, hashed_registered

from confrag.runtime import work  # isort: skip
from confrag.build.indices import lexical  # isort: skip

QUESTIONS = ["What do owls hunt?", "eggs of bees", "Where do seals rest?", "copepods", "zebra"]
HNSW = ("+indices.fast={kind: hnsw, group: MediumChunk}", "retrievers.chunk.index=fast")
WORDS = ("recall=lexical",)


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with hashed_registered():
        yield


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    # Times of files are relied on at once, and not only two seconds later.
    monkeypatch.setattr(work, "_RACY_NS", 0)
    made = Workplace(tmp_path)
    made.write(bees="Queen bees lay two thousand eggs a day.", owls="Barn owls hunt voles at night.")
    made.write(seals="Grey seals rest upon skerries.", auks="Little auks dive for copepods.")
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every node whose vector is read from the store, and every text that is split into words."""
    seen: list[str] = []
    vectors, tokenizers = StoredNodes.vectors, dict(lexical.TOKENIZERS)

    def read_vectors(self: StoredNodes, group: str, embed_key: str, uids: Sequence[str] | None = None) -> Any:
        seen.extend(uids or ())
        return vectors(self, group, embed_key, uids)

    def english(texts: Sequence[str]) -> list[list[str]]:
        seen.extend(texts)
        return tokenizers["bm25"](texts)

    monkeypatch.setattr(StoredNodes, "vectors", read_vectors)
    monkeypatch.setattr(lexical, "TOKENIZERS", {"bm25": english})
    return seen


def found(place: Workplace, preset: str, *more: str) -> list[list[tuple[str, float]]]:
    with place.load(preset, *more) as app:
        return answers(app, QUESTIONS)


def heads(place: Workplace) -> dict[Path, dict[str, Any]]:
    return {path: json.loads(path.read_text()) for path in place.state.rglob("indices/*/*/current.json")}


def fresh(place: Workplace, preset: str, *more: str) -> list[list[tuple[str, float]]]:
    """What the same configuration finds that is built from nothing."""
    return place.twin(preset, *more, questions=QUESTIONS)[1]


@pytest.mark.parametrize("preset", STORES)
def test_a_graph_finds_on_every_store_what_the_exact_search_finds(preset: str, place: Workplace) -> None:
    exact = found(place, "map")
    assert found(place, preset, *HNSW) == exact
    place.write(zebras="A zebra has stripes.")
    (place.docs / "owls.txt").unlink()
    with place.load(preset, *HNSW) as app:
        assert app.retrieve("zebra")[0].file == "zebras.txt"
        assert "owls.txt" not in {hit.file for hit in app.retrieve("What do owls hunt?", topk=50)}
    assert found(place, preset, *HNSW) == found(place, "map")


@pytest.mark.parametrize(("preset", "more"), [(store, HNSW) for store in STORES] + [("map", WORDS), ("chroma", WORDS)])
def test_only_what_changed_is_read(preset: str, more: tuple[str, ...], place: Workplace, read: list[str]) -> None:
    before = found(place, preset, *more)
    read.clear()
    assert found(place, preset, *more) == before
    assert set(read) <= set(QUESTIONS)
    place.write(zebras="A zebra has stripes.")
    read.clear()
    after = found(place, preset, *more)
    assert len(set(read) - set(QUESTIONS)) == 1
    assert after != before
    assert after == fresh(place, preset, *more)
    (place.docs / "zebras.txt").unlink()
    read.clear()
    assert found(place, preset, *more) == before
    assert set(read) <= set(QUESTIONS)


@pytest.mark.parametrize("more", [HNSW, WORDS], ids=["hnsw", "words"])
def test_a_running_engine_takes_in_what_it_ingests_and_keeps_it(
    more: tuple[str, ...], place: Workplace, read: list[str]
) -> None:
    with place.load("map", *more) as app:
        place.write(zebras="A zebra has stripes.")
        (place.docs / "owls.txt").unlink()
        app.ingest()
        assert app.retrieve("zebra")[0].file == "zebras.txt"
        after = answers(app, QUESTIONS)
    read.clear()
    assert found(place, "map", *more) == after
    assert set(read) <= set(QUESTIONS)
    assert fresh(place, "map", *more) == after


def test_another_graph_over_the_same_rows(place: Workplace, read: list[str]) -> None:
    before = found(place, "map", *HNSW)
    (head,) = heads(place).values()
    read.clear()
    with place.load("map", *HNSW, "+indices.fast.M=48") as app:
        assert (app.corpus.unchanged, app.corpus.embedded, app.corpus.embedding_cache_hits) == (4, 0, 0)
        assert answers(app, QUESTIONS) == before
    assert len(read) == 4
    (changed,) = heads(place).values()
    assert (head["parameters"]["M"], changed["parameters"]["M"]) == (16, 48)
    assert len(place.collections()) == 1


@pytest.mark.parametrize(
    ("more", "without"),
    [(HNSW, ()), (WORDS, (*WORDS, "retrievers.lexical.similarity=bm25_chinese"))],
    ids=["hnsw", "words"],
)
def test_one_process_sees_what_another_one_wrote(
    more: tuple[str, ...], without: tuple[str, ...], place: Workplace
) -> None:
    with place.load("map", *more) as reader:
        before = answers(reader, QUESTIONS)
        place.write(zebras="A zebra has stripes.")
        with place.load("map", *more) as writer:
            after = answers(writer, QUESTIONS)
        assert before != answers(reader, QUESTIONS) == after
        # A configuration of the same rows that does not have the index leaves it behind the store.
        (place.docs / "zebras.txt").unlink()
        place.load("map", *without).ingest()
        assert len(place.collections()) == 1
        assert answers(reader, QUESTIONS) == before
    assert found(place, "map", *more) == before


def _unlink(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("damage", [_unlink, _cut, _folder])
@pytest.mark.parametrize("more", [HNSW, WORDS], ids=["hnsw", "words"])
def test_damage_heals(
    more: tuple[str, ...], damage: Callable[[Path], None], place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    before = found(place, "map", *more)
    for path in [*place.state.rglob("v-*/graph.bin"), *place.state.rglob("v-*/bm25.data.npy")]:
        damage(path)
    with caplog.at_level(logging.WARNING, "confrag"):
        assert found(place, "map", *more) == before
    assert [record for record in caplog.records if "the index cannot be used" in record.getMessage()]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "confrag"):
        assert found(place, "map", *more) == before
    assert caplog.records == []


def test_another_embedding_model_at_the_same_place(place: Workplace) -> None:
    own = (f"store_conf.kwargs.uri='{place.root / 'own.db'}'", *HNSW)
    before = found(place, "map", *own)
    salted = found(place, "map", *own, "+models.embed.salt=pepper")
    assert salted != before
    assert salted == found(place, "map", "+models.embed.salt=pepper")
    assert found(place, "map", *own) == before


def test_plan_names_them(place: Workplace) -> None:
    app = place.load("map", *HNSW)
    (outlook,) = app.plan().groups
    assert outlook.indices == ("map", "hnsw 'fast'")


def test_plan_tells_of_an_index_alone(place: Workplace) -> None:
    with place.load("map", *HNSW):
        pass
    assert place.load("map", *HNSW).plan().up_to_date
    other = place.load("map", *HNSW, "+indices.fast.M=48")
    outlook = other.plan()
    assert (outlook.up_to_date, outlook.groups, outlook.indices) == (False, (), ("hnsw 'fast'",))
    other.ingest()
    assert other.plan().up_to_date
    words = place.load("map", "recall=hybrid").plan()
    assert words.indices == ("bm25 of MediumChunk",)


def test_the_trie_finds_what_the_scan_finds(place: Workplace) -> None:
    with place.load("trie") as app:
        trie = answers(app, QUESTIONS)
        assert [hit.file for hit in app.retrieve("Which EGGS are in skerries?")] == ["seals.txt"]
        assert app.retrieve("nothing of that") == []
    assert trie == found(place, "linear")
    assert [bool(hits) for hits in trie] == [False, False, True, True, False]
    place.write(zebras="A zebra has stripes.")
    assert found(place, "trie")[-1] != []


class SuffixSpec(IndexSpec):
    """Texts that end with a word of the question."""

    kind: Literal["suffix"]
    min_letters: int = 3


class SuffixIndex(TextIndex):
    """As a plugin has it: three methods."""

    def __init__(self, place: Place, min_letters: int) -> None:
        super().__init__(place)
        self._min = min_letters

    def put(self, uid: str, text: str) -> None:
        pass

    def drop(self, uid: str, text: str) -> None:
        pass

    def scores(self, query: str) -> dict[str, float]:
        words = tuple(word for word in query.lower().split() if len(word) >= self._min)
        return {uid: 1.0 for uid, text in self.texts.items() if text.lower().rstrip(".").endswith(words)}


@pytest.fixture
def _suffix() -> Iterator[None]:
    family = FAMILIES["indices"]
    kinds = dict(family._kinds)
    confrag.register("indices", "suffix", SuffixSpec, SuffixIndex)
    yield
    family._kinds.clear()
    family._kinds.update(kinds)
    confrag.register("models", "hashed", *_hashed())


def _hashed() -> tuple[Any, ...]:
    kind = FAMILIES["models"]["hashed"]
    return kind.spec, kind.builder, kind.summary


@pytest.mark.usefixtures("_suffix")
@pytest.mark.parametrize("preset", ["map", "chroma"])
def test_a_kind_of_ones_own(preset: str, place: Workplace) -> None:
    own = ("+indices.ends={kind: suffix, group: MediumChunk, min_letters: 4}", "+retrievers.chunk.index=ends")
    with place.load(preset, *own, "~retrievers.chunk.similarity") as app:
        assert [hit.file for hit in app.retrieve("a word like copepods")] == ["auks.txt"]
        assert app.retrieve("the day") == []  # three letters
        place.write(krill="Whales live on copepods.")
        app.ingest()
        assert {hit.file for hit in app.retrieve("a word like copepods")} == {"auks.txt", "krill.txt"}
