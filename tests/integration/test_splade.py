"""The sparse embedding model of the catalogue, computed with NumPy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from confrag.build.models.fetch import ensure
from confrag.build.models.local import build_embed
from confrag.build.models.protocols import SparseEmbedder, SparseVector
from confrag.build.models.splade import SpladeEmbedder
from confrag.errors import UserError

pytestmark = pytest.mark.models

GOLDEN = {
    "What is the capital of France?": (
        15,
        14.016,
        {3007: 2.7895, 2605: 2.3601, 2413: 1.8415, 2103: 1.2843, 4380: 0.9554, 4020: 0.8132},
    ),
    "The ferry leaves the harbour at nine o'clock.": (
        29,
        19.955,
        {7115: 2.1917, 5119: 2.1127, 3727: 1.7386, 1051: 1.706, 6496: 1.6898, 7440: 1.1657},
    ),
    "": (6, 4.933, {2003: 1.5253, 2965: 1.2323, 1998: 1.0471, 2929: 0.7645, 3033: 0.2791, 2112: 0.0847}),
}
"""Text -> number of weights, their sum and the highest ones, as PyTorch and transformers compute them."""

PASSAGES = [
    "The Eiffel Tower was finished in 1889 and is 330 metres high.",
    "Bread dough has to rise in a warm place for about an hour before it is baked.",
    "A laminar boundary layer becomes turbulent when the Reynolds number is large enough.",
    "The quarterly profit of the bank fell because more loans were not paid back.",
]
ODD = [" ", "a\0b", "half a pair \ud800", "word " * 1500, "猫坐在垫子上睡觉。", "👩‍🚀" * 50]


@pytest.fixture(scope="module")
def embedder() -> Iterator[SparseEmbedder]:
    model = build_embed(model="splade-tiny-en")
    assert isinstance(model, SpladeEmbedder)
    yield model
    model.close()


def product(one: SparseVector, other: SparseVector) -> float:
    return sum(weight * other.get(token, 0.0) for token, weight in one.items())


@pytest.mark.parametrize("text", GOLDEN)
def test_weights_are_those_of_the_reference(embedder: SparseEmbedder, text: str) -> None:
    count, total, highest = GOLDEN[text]
    vector = embedder.query(text)
    assert len(vector) == count
    assert sum(vector.values()) == pytest.approx(total, abs=2e-3)
    best = sorted(vector, key=vector.__getitem__, reverse=True)[: len(highest)]
    assert {token: vector[token] for token in best} == pytest.approx(highest, abs=1e-4)


def test_a_vector_depends_on_its_text_alone(embedder: SparseEmbedder) -> None:
    texts = [*GOLDEN, *PASSAGES, " ".join(PASSAGES * 4), *ODD]
    together = embedder.passages(texts)
    assert together == [embedder.query(text) for text in texts]
    assert embedder.passages(texts[::-1]) == together[::-1]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(embedder.query, texts)) == together
    assert all(weight > 0 for vector in together for weight in vector.values())


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("When was the Eiffel Tower built?", 0),
        ("how long must dough rest", 1),
        ("transition to turbulence", 2),
        ("Why did the bank earn less?", 3),
    ],
)
def test_the_right_passage_is_nearest(embedder: SparseEmbedder, question: str, place: int) -> None:
    asked = embedder.query(question)
    scores = [product(asked, vector) for vector in embedder.passages(PASSAGES)]
    assert scores.index(max(scores)) == place


def test_words_beyond_the_length_are_not_looked_at() -> None:
    short = build_embed(model="splade-tiny-en", max_length=12)
    try:
        beginning = " ".join(["harbour"] * 10)
        assert short.query(f"{beginning} ferry") == short.query(f"{beginning} train")
        assert short.query("harbour ferry") != short.query("harbour train")
    finally:
        short.close()


def test_it_has_no_prefixes() -> None:
    with pytest.raises(UserError) as caught:
        build_embed(model="splade-tiny-en", passage_prefix="text: ")
    assert str(caught.value) == (
        "model 'splade-tiny-en' treats questions and passages alike: leave out query_prefix and passage_prefix."
    )


def test_closing() -> None:
    model = build_embed(model="splade-tiny-en")
    model.close()
    model.close()
    for work in (lambda: model.query("still there?"), lambda: model.passages(["still there?"])):
        with pytest.raises(RuntimeError, match="the model is closed"):
            work()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "tokenizer.json").unlink(),
            "{} has no tokenizer.json: a SPLADE model is a folder with config.json, model.safetensors, tokenizer.json.",
        ),
        (
            lambda folder: (folder / "config.json").write_text("{}"),
            "{} holds no SPLADE model that can be loaded: KeyError('num_hidden_layers')",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"12345678{"),
            "{} holds no SPLADE model that can be loaded: JSONDecodeError(",
        ),
    ],
)
def test_a_folder_that_holds_no_model(damage, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(ensure("splade-tiny-en"), folder)
    damage(folder)
    with pytest.raises(UserError) as caught:
        SpladeEmbedder(folder)
    assert str(caught.value).startswith(message.format(folder))
