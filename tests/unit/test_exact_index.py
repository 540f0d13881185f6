"""Exact search over vectors in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confrag.build.indices.exact import ExactIndex
from confrag.build.indices.nodes import best
from confrag.errors import StoreError, UserError

from lazyllm.tools.rag import DocNode  # isort: skip

DIM = 8


class Nodes:
    """Stored nodes, in a dictionary."""

    def __init__(self, vectors: Mapping[str, np.ndarray]) -> None:
        self.held = dict(vectors)
        self.reads = 0

    def nodes(self, group: str, uids: Sequence[str]) -> list[DocNode]:
        return [DocNode(uid, f"text {uid}", group) for uid in uids if uid in self.held]

    def texts(self, group: str) -> Iterator[tuple[str, str]]:
        raise AssertionError("vectors need no texts")

    def matching(self, group: str, filters: Mapping[str, Any]) -> set[str]:
        return {uid for uid in self.held if uid[-1] in filters["last"]}

    def vectors(self, group: str, embed_key: str) -> tuple[list[str], np.ndarray]:
        self.reads += 1
        matrix = np.stack([*self.held.values()]) if self.held else np.zeros((0, 0))
        return list(self.held), matrix.astype(np.float32)

    def put(self, uid: str, vector: np.ndarray) -> DocNode:
        self.held[uid] = vector
        return DocNode(uid, f"text {uid}", "group", {"dense": vector})


def random_vectors(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    matrix = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return {f"n{row}": vector for row, vector in enumerate(matrix)}


def cosines(nodes: Nodes, query: np.ndarray) -> dict[str, float]:
    return {u: float(v @ query / np.linalg.norm(v) / np.linalg.norm(query)) for u, v in nodes.held.items()}


def expected(nodes: Nodes, query: np.ndarray, topk: int) -> list[str]:
    scores = cosines(nodes, query)
    return sorted(scores, key=lambda uid: (-round(scores[uid], 5), uid))[:topk]


QUERY = np.random.default_rng(9).normal(size=DIM).astype(np.float32)


def index_of(nodes: Nodes) -> ExactIndex:
    return ExactIndex(nodes, {"dense": lambda text: QUERY.tolist()})


def test_the_highest_cosines_best_first() -> None:
    nodes = Nodes(random_vectors(200))
    found = index_of(nodes).query("q", "group", topk=10)
    assert [node.uid for node in found] == expected(nodes, QUERY, 10)
    scores = cosines(nodes, QUERY)
    assert [node.similarity_score for node in found] == pytest.approx([scores[n.uid] for n in found], abs=1e-6)
    assert found[0].text == f"text {found[0].uid}"


def test_the_store_is_read_once_and_the_query_embedded_once() -> None:
    nodes, asked = Nodes(random_vectors(20)), []
    index = ExactIndex(nodes, {"dense": lambda text: asked.append(text) or QUERY.tolist()})
    index.query("first", "group")
    index.query("second", "group")
    assert nodes.reads == 1
    assert asked == ["first", "second"]


@given(st.lists(st.tuples(st.sampled_from(["put", "remove"]), st.integers(0, 30)), max_size=60))
@settings(deadline=None, max_examples=60)
def test_an_index_that_changed_step_by_step_equals_a_fresh_one(steps: list[tuple[str, int]]) -> None:
    nodes = Nodes(random_vectors(5))
    index = index_of(nodes)
    index.query("q", "group")
    for seed, (action, number) in enumerate(steps):
        uid = f"n{number}"
        if action == "put":
            index.update([nodes.put(uid, np.random.default_rng(seed).normal(size=DIM).astype(np.float32))])
        else:
            nodes.held.pop(uid, None)
            index.remove([uid], "group")
    grown = [(node.uid, node.similarity_score) for node in index.query("q", "group", topk=None)]
    fresh = [(node.uid, node.similarity_score) for node in index_of(nodes).query("q", "group", topk=None)]
    assert grown == fresh
    assert len(grown) == len(nodes.held)


def test_nodes_of_other_groups_and_embeddings_are_let_be() -> None:
    nodes = Nodes(random_vectors(5))
    index = index_of(nodes)
    before = [node.uid for node in index.query("q", "group")]
    index.update([DocNode("x", "x", "other", {"dense": QUERY}), DocNode("y", "y", "group", {"second": QUERY})])
    index.remove(before, "other")
    assert [node.uid for node in index.query("q", "group")] == before


def test_removing_a_group_reads_it_again() -> None:
    nodes = Nodes(random_vectors(5))
    index = index_of(nodes)
    index.query("q", "group")
    nodes.held = random_vectors(3, seed=4)
    index.remove(None, "group")
    assert [node.uid for node in index.query("q", "group")] == expected(nodes, QUERY, 10)


def test_equal_scores_are_ordered_by_uid() -> None:
    nodes = Nodes({uid: QUERY * 2.0**n for n, uid in enumerate(["c", "a", "d", "b"])})
    assert [node.uid for node in index_of(nodes).query("q", "group", topk=3)] == ["a", "b", "c"]


def test_cut_off_and_filters() -> None:
    nodes = Nodes(random_vectors(100))
    index, scores = index_of(nodes), cosines(nodes, QUERY)
    limit = sorted(scores.values())[-7] - 1e-6
    assert len(index.query("q", "group", topk=50, similarity_cut_off=limit)) == 7
    assert len(index.query("q", "group", topk=50, similarity_cut_off={"dense": limit})) == 7
    inside = index.query("q", "group", topk=5, filters={"last": "37"})
    assert [n.uid for n in inside] == [u for u in expected(nodes, QUERY, 100) if u[-1] in "37"][:5]
    assert index.query("q", "group", filters={"last": ""}) == []


def test_several_embeddings_give_a_node_its_highest_cosine() -> None:
    nodes = Nodes(random_vectors(30))
    other = -QUERY
    index = ExactIndex(nodes, {"a": lambda text: QUERY.tolist(), "b": lambda text: other.tolist()})
    found = index.query("q", "group", topk=5)
    scores = {uid: abs(score) for uid, score in cosines(nodes, QUERY).items()}
    assert [node.uid for node in found] == sorted(scores, key=lambda uid: -scores[uid])[:5]


def test_nothing_stored_and_zero_vectors() -> None:
    assert index_of(Nodes({})).query("q", "group") == []
    found = index_of(Nodes({"zero": np.zeros(DIM, np.float32)})).query("q", "group")
    assert [(node.uid, node.similarity_score) for node in found] == [("zero", 0.0)]


def test_what_cannot_be_answered_is_said() -> None:
    index = index_of(Nodes(random_vectors(5)))
    with pytest.raises(UserError, match="similarity 'bm25' is not one of vectors: name the index that serves it"):
        index.query("q", "group", similarity_name="bm25")
    with pytest.raises(UserError, match="embedding 'other' is not one of the document's: dense"):
        index.query("q", "group", embed_keys=["other"])
    short = ExactIndex(Nodes(random_vectors(5)), {"dense": lambda text: [1.0, 2.0]})
    with pytest.raises(StoreError, match="have 8 dimensions, that of the query 2: they come from different models"):
        short.query("q", "group")
    sparse = ExactIndex(Nodes(random_vectors(5)), {"dense": lambda text: {3: 1.0}})
    with pytest.raises(UserError, match="embedding 'dense' is sparse"):
        sparse.query("q", "group")


def test_eight_threads_while_it_changes() -> None:
    nodes = Nodes(random_vectors(300))
    index, failed = index_of(nodes), []

    def search() -> None:
        try:
            for _ in range(50):
                assert len(index.query("q", "group", topk=5)) == 5
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(300, 500):
        index.update([nodes.put(f"n{number}", QUERY)])
        index.remove([f"n{number - 300}"], "group")
    for thread in threads:
        thread.join()
    assert failed == []


@given(st.lists(st.integers(0, 5), max_size=40), st.one_of(st.none(), st.integers(1, 50)))
def test_best_is_the_head_of_the_sorted_list(values: list[int], count: int | None) -> None:
    uids = [f"u{n:02}" for n in range(len(values))]
    ranked = sorted(zip(uids, map(float, values), strict=True), key=lambda hit: (-hit[1], hit[0]))
    assert best(uids, np.asarray(values, np.float32), count) == ranked[:count]
