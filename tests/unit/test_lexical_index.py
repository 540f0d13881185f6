"""BM25 over the texts of a node group."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from confrag.build.indices.lexical import TOKENIZERS, LexicalIndex
from confrag.build.indices.tokens import chinese, english
from confrag.errors import UserError

from lazyllm.tools.rag import DocNode  # isort: skip

ENGLISH = {
    "a": "The boundary layer on a flat plate in supersonic flow.",
    "b": "Heat transfer through the laminar boundary layer of a cone; layers of heat.",
    "c": "Buckling of thin cylindrical shells under axial compression.",
    "d": "Supersonic flow past a cone at zero incidence",
    "e": "",
}
CHINESE = {
    "a": "证券公司应当为客户开立账户，客户交易结算资金必须全额存入指定的商业银行。",
    "b": "招标人应当根据招标项目的特点和需要编制招标文件。",
    "c": "北京市引进人才管理办法，适用于在京用人单位。",
    "d": "RAG 系统使用 Milvus 存储向量，LightRAG 使用图。",
}


class Nodes:
    """Stored nodes, in a dictionary."""

    def __init__(self, held: Mapping[str, str]) -> None:
        self.held = dict(held)
        self.reads = 0

    def nodes(self, group: str, uids: Sequence[str]) -> list[DocNode]:
        return [DocNode(uid, self.held[uid], group) for uid in uids]

    def uids(self, group: str) -> list[str]:
        return sorted(self.held)

    def texts(self, group: str, uids: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
        self.reads += 1
        return iter([(uid, self.held[uid]) for uid in (sorted(self.held) if uids is None else uids)])

    def matching(self, group: str, filters: Mapping[str, Any]) -> set[str]:
        return set(filters["uid"])

    def vectors(self, group: str, embed_key: str, uids: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
        raise AssertionError("words need no vectors")


def bm25(query: str, held: Mapping[str, str], similarity: str) -> dict[str, float]:
    """The formula, word by word: Lucene's BM25 with k1 1.5 and b 0.75 (Kamphuis et al., ECIR 2020)."""
    split = TOKENIZERS[similarity]
    counts = {uid: Counter(split([text])[0]) for uid, text in held.items()}
    average = sum(sum(c.values()) for c in counts.values()) / len(counts)
    scores = {}
    for uid, words in counts.items():
        score = 0.0
        for word in split([query])[0]:
            n = sum(word in other for other in counts.values())
            idf = math.log(1 + (len(counts) - n + 0.5) / (n + 0.5))
            tf = words[word]
            score += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * sum(words.values()) / average))
        if score > 0:
            scores[uid] = score
    return scores


@pytest.mark.parametrize(
    ("similarity", "held", "query"),
    [
        ("bm25", ENGLISH, "supersonic flow past cones"),
        ("bm25", ENGLISH, "boundary layers with heat transfer and heating"),
        ("bm25", ENGLISH, "shell"),
        ("bm25_chinese", CHINESE, "客户的资金存在哪里"),
        ("bm25_chinese", CHINESE, "招标文件由谁编制"),
        ("bm25_chinese", CHINESE, "milvus 向量"),
    ],
)
def test_scores_are_those_of_the_formula(similarity: str, held: dict[str, str], query: str) -> None:
    expected = bm25(query, held, similarity)
    assert expected
    found = LexicalIndex(Nodes(held)).query(query, "group", similarity, topk=10)
    assert {node.uid: node.similarity_score for node in found} == pytest.approx(expected, rel=1e-5)
    assert [node.uid for node in found] == sorted(expected, key=lambda uid: (-expected[uid], uid))


def test_english_words() -> None:
    assert english(["The Layers of HEATED plates, a x1 flow's"]) == [["layer", "heat", "plate", "x1", "flow"]]


def test_chinese_words_and_words_of_other_scripts() -> None:
    (words,) = chinese(["LightRAG 使用图，Milvus 的向量！"])
    assert "lightrag" in words
    assert "milvus" in words
    assert "图" in words
    assert not {"的", "，", "！", " "} & set(words)


@pytest.mark.parametrize(
    ("similarity", "held", "query"),
    [
        ("bm25", ENGLISH, "the of and"),
        ("bm25", ENGLISH, "zebra"),
        ("bm25", ENGLISH, ""),
        ("bm25_chinese", CHINESE, "的，了。"),
        ("bm25_chinese", CHINESE, "斑马"),
        ("bm25", {}, "flow"),
        ("bm25", {"a": "", "b": "of the"}, "flow"),
    ],
)
def test_nothing_in_common_is_nothing_found(similarity: str, held: dict[str, str], query: str) -> None:
    assert LexicalIndex(Nodes(held)).query(query, "group", similarity) == []


def test_fewer_than_asked_for_equal_scores_cut_off_and_filters() -> None:
    index = LexicalIndex(Nodes({"c": "same words", "a": "same words", "b": "same words", "x": "other text"}))
    assert [node.uid for node in index.query("words", "group", topk=50)] == ["a", "b", "c"]
    assert [node.uid for node in index.query("words", "group", topk=2)] == ["a", "b"]
    assert len(index.query("words", "group", topk=None)) == 3
    assert index.query("words", "group", similarity_cut_off=9.0) == []
    assert [node.uid for node in index.query("words", "group", filters={"uid": ["c", "x"]})] == ["c"]


def test_it_is_built_once_and_again_after_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, split = Nodes(ENGLISH), []
    tokenizers = {"bm25": lambda texts: split.append(list(texts)) or english(texts)}
    monkeypatch.setattr("confrag.build.indices.lexical.TOKENIZERS", tokenizers)
    index = LexicalIndex(nodes)
    index.query("flow", "group")
    index.query("cone", "group")
    assert nodes.reads == 1
    assert split == [list(ENGLISH.values()), ["flow"], ["cone"]]
    nodes.held["f"] = "A new zebra."
    nodes.held["c"] = "An old zebra, changed."
    index.update([DocNode("f", nodes.held["f"], "group"), DocNode("c", nodes.held["c"], "group")])
    split.clear()
    assert {node.uid for node in index.query("zebra", "group")} == {"c", "f"}
    assert sorted(split[0]) == ["A new zebra.", "An old zebra, changed."]
    del nodes.held["f"]
    index.remove(["f"], "group")
    assert [node.uid for node in index.query("zebra", "group")] == ["c"]
    nodes.held.clear()
    index.remove(None)
    assert index.query("zebra", "group") == []


def test_a_changed_index_equals_a_fresh_one() -> None:
    nodes = Nodes(ENGLISH)
    index = LexicalIndex(nodes, serves=[("group", "bm25")])
    index.ready()
    del nodes.held["b"]
    index.remove(["b"], "group")
    nodes.held["g"] = "supersonic flow again"
    index.update([DocNode("g", nodes.held["g"], "group")])
    changed = [(n.uid, n.similarity_score) for n in index.query("supersonic flow", "group")]
    fresh = [(n.uid, n.similarity_score) for n in LexicalIndex(nodes).query("supersonic flow", "group")]
    assert changed == fresh
    assert len(changed) == 3


def test_what_cannot_be_answered_is_said() -> None:
    index = LexicalIndex(Nodes(ENGLISH))
    with pytest.raises(
        UserError, match=r"similarity 'bm52' is not one of texts: bm25, bm25_chinese\. Did you mean 'bm25'\?"
    ):
        index.query("flow", "group", "bm52")
    with pytest.raises(UserError, match="its similarity_cut_off must be a number"):
        index.query("flow", "group", similarity_cut_off={"dense": 1.0})


def test_eight_threads_while_it_changes() -> None:
    nodes = Nodes({f"n{n}": f"flow number{n}" for n in range(200)})
    index, failed = LexicalIndex(nodes), []

    def search() -> None:
        try:
            for _ in range(10):
                assert len(index.query("flow", "group", topk=5)) == 5
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(20):
        index.update([DocNode(f"n{number}", f"flow number{number}", "group")])
    for thread in threads:
        thread.join()
    assert failed == []


def test_the_libraries_say_nothing() -> None:
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from tests.unit.test_lexical_index import *\n"
        "assert LexicalIndex(Nodes(CHINESE)).query('招标', 'group', 'bm25_chinese')\n"
        "assert LexicalIndex(Nodes(ENGLISH)).query('flow', 'group', 'bm25')\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
