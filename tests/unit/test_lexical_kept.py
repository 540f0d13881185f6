"""The index over words, kept beside the store."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.build.indices import lexical
from confrag.build.indices.lexical import LexicalIndex
from tests.unit.indexed import GROUP, Nodes

ENGLISH = {
    "a": "The boundary layer on a flat plate in supersonic flow.",
    "b": "Heat transfer through the laminar boundary layer of a cone.",
    "c": "Buckling of thin cylindrical shells under axial compression.",
    "d": "",
}
QUESTIONS = ["supersonic flow past cones", "buckling shells", "heat", "zebra", "the"]


def kept(nodes: Nodes, folder: Path, similarity: str = "bm25") -> LexicalIndex:
    """The index, in line with the store and on disk."""
    index = LexicalIndex(nodes, folder, [(GROUP, similarity)])
    index.ready()
    index.save()
    return index


def found(
    index: LexicalIndex, similarity: str = "bm25", questions: Sequence[str] = QUESTIONS
) -> list[list[tuple[str, float]]]:
    asked = [index.query(question, GROUP, similarity) for question in questions]
    return [[(node.uid, node.similarity_score) for node in nodes] for nodes in asked]


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is split into words; questions, too."""
    texts: list[str] = []
    real = dict(lexical.TOKENIZERS)

    def counted(tokenizer: lexical.Tokenizer) -> lexical.Tokenizer:
        def split(given: Sequence[str]) -> list[list[str]]:
            texts.extend(given)
            return tokenizer(given)

        return split

    monkeypatch.setattr(lexical, "TOKENIZERS", {name: counted(tokenizer) for name, tokenizer in real.items()})
    return texts


def test_nothing_is_split_when_nothing_changed(tmp_path: Path, split: list[str]) -> None:
    nodes = Nodes(ENGLISH)
    expected = found(kept(nodes, tmp_path))
    split.clear()
    nodes.read.clear()
    assert found(kept(nodes, tmp_path)) == expected
    assert (split, nodes.read) == (QUESTIONS, [])


def test_only_what_is_new_is_split_after_a_change(tmp_path: Path, split: list[str]) -> None:
    nodes = Nodes(ENGLISH)
    kept(nodes, tmp_path)
    del nodes.held["b"]
    nodes.held["e"] = "A zebra in supersonic flow."
    split.clear()
    index = kept(nodes, tmp_path)
    assert split == ["A zebra in supersonic flow."]
    fresh = LexicalIndex(nodes)
    assert found(index) == found(fresh)
    assert found(kept(nodes, tmp_path)) == found(fresh)


def test_weights_are_those_of_bm25s() -> None:
    random = np.random.default_rng(0)
    rows = [random.zipf(1.5, length).clip(max=40).astype(np.int32) - 1 for length in random.integers(0, 30, 200)]
    rows, vocabulary = lexical._without_unused(rows, {f"word{number}": number for number in range(40)})
    ours, theirs = lexical._weighed(rows, vocabulary), bm25s.BM25()
    theirs.index(([row.tolist() for row in rows], vocabulary), show_progress=False)
    for word in vocabulary:
        assert ours.get_scores([word]) == pytest.approx(theirs.get_scores([word]), rel=1e-5)
    assert {key: type(value) for key, value in ours.scores.items()} == {
        key: type(value) for key, value in theirs.scores.items()
    }


WORDS = st.lists(st.sampled_from(["flow", "cone", "the", "shell", "heat", "x"]), max_size=6).map(" ".join)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), WORDS, max_size=5), min_size=1, max_size=4))
def test_it_equals_one_that_was_built_from_nothing(
    tmp_path_factory: pytest.TempPathFactory, corpora: list[dict[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    for corpus in corpora:
        # As everywhere, an id stands for a place and a text.
        nodes = Nodes({f"{place}-{text}": text for place, text in corpus.items()})
        questions = ["flow cone", "heat", "shell x"]
        assert found(kept(nodes, folder), questions=questions) == found(LexicalIndex(nodes), questions=questions)


def test_each_group_and_similarity_has_its_own(tmp_path: Path) -> None:
    nodes = Nodes({**ENGLISH, "z": "证券公司应当为客户开立账户"})
    served = [(GROUP, "bm25"), (GROUP, "bm25_chinese"), ("other", "bm25")]
    index = LexicalIndex(nodes, tmp_path, served)
    index.ready()
    index.save()
    assert len(list(tmp_path.glob("*/current.json"))) == 3
    assert found(index, "bm25_chinese", ["客户"]) == found(LexicalIndex(nodes), "bm25_chinese", ["客户"]) != [[]]


def test_chinese_words_are_not_loaded_before_the_first_question(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.unit.test_lexical_kept import kept; "
        "from tests.unit.indexed import GROUP, Nodes\n"
        "index = kept(Nodes({'a': '证券公司应当为客户开立账户', 'b': '北京市'}), Path(sys.argv[1]), 'bm25_chinese')\n"
        "print('jieba' in sys.modules)\n"
        "print([node.uid for node in index.query('客户', GROUP, 'bm25_chinese')], 'jieba' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert said == ["True\n['a'] True\n", "False\n['a'] True\n"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _swapped(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


@pytest.mark.parametrize("damage", [_cut, _swapped, Path.unlink], ids=["cut", "swapped", "unlink"])
@pytest.mark.parametrize("name", ["uids.json", "tokens.npy", "bm25.data.npy", "bm25.vocabulary.json"])
def test_damaged_it_is_built_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None]
) -> None:
    nodes = Nodes(ENGLISH)
    kept(nodes, tmp_path)
    (path,) = tmp_path.glob(f"*/v-*/{name}")
    damage(path)
    nodes.held["e"] = "A zebra in supersonic flow."
    with caplog.at_level(logging.WARNING, "confrag"):
        assert found(kept(nodes, tmp_path)) == found(LexicalIndex(nodes))
    # The words are read only to change them, and then split again.
    assert ("the index cannot be used" in caplog.text) == (name != "tokens.npy")


def test_what_another_process_has_kept_is_taken_over(tmp_path: Path, split: list[str]) -> None:
    nodes = Nodes(ENGLISH)
    mine = kept(nodes, tmp_path)
    nodes.held["e"] = "A zebra in supersonic flow."
    kept(nodes, tmp_path)
    split.clear()
    mine.remove(None)
    assert found(mine, questions=["zebra"])[0][0][0] == "e"
    assert split == ["zebra"]


def test_it_goes_on_when_another_process_has_replaced_what_it_began_with(tmp_path: Path) -> None:
    nodes = Nodes(ENGLISH)
    kept(nodes, tmp_path)
    mine = LexicalIndex(nodes, tmp_path, [(GROUP, "bm25")])
    mine.ready()
    for path in tmp_path.glob("*/v-*/*"):
        path.unlink()
    (head,) = tmp_path.glob("*/current.json")
    nodes.held["e"] = "A zebra in supersonic flow."
    mine.remove(None)
    assert found(mine) == found(LexicalIndex(nodes))
    assert head.exists()


def test_empty_texts_are_kept_too(tmp_path: Path, split: list[str]) -> None:
    nodes = Nodes({"a": "", "b": "of the"})
    assert found(kept(nodes, tmp_path)) == [[]] * len(QUESTIONS)
    split.clear()
    assert found(kept(nodes, tmp_path), questions=["flow"]) == [[]]
    assert split == []
    assert np.load(next(tmp_path.glob("*/v-*/tokens.npy"))).tolist() == [0, 0]
