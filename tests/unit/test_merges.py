"""The laws of the merge rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confrag.build import prepare

prepare()

from lazyllm.tools.rag import DocNode  # noqa: E402

from confrag.build.merges import concat, priority, rrf, weighted  # noqa: E402
from confrag.build.ranking import scored, unique  # noqa: E402

RRF = {"k": 60}
WEIGHTED = {"normalize": "min_max"}
PRIORITIES = {"a": "high", "b": "normal", "c": "low"}
RULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "concat": (concat.fuse, {}),
    "rrf": (rrf.fuse, RRF),
    "weighted": (weighted.fuse, WEIGHTED),
    "weighted, as they are": (weighted.fuse, {"normalize": "none"}),
    "priority": (priority.fuse, {"priorities": PRIORITIES}),
}
ADDING = ["rrf", "weighted", "weighted, as they are"]

Lists = Mapping[str, Sequence[tuple[str, float]]]


def made(lists: Lists, routes: bool = True) -> dict[str, list[DocNode]]:
    """Fresh nodes: rules change the scores of the nodes that they are given. The parent is the first letter."""
    nodes: dict[str, list[DocNode]] = {}
    for name, ranking in lists.items():
        nodes[name] = []
        for uid, score in ranking:
            node = DocNode(uid=uid, text=uid, group="g", parent=f"parent {uid[0]}")
            node.similarity_score = score
            node.routes = (name,)
            nodes[name].append(scored(node, score))
    return nodes


def fused(rule: str, lists: Lists, *, topk: int | None = None, dedupe: str = "node", **weights: float) -> list[DocNode]:
    fuse, params = RULES[rule]
    given_weights = {name: weights.get(name, 1.0) for name in lists}
    result: list[DocNode] = fuse(made(lists), weights=given_weights, dedupe=dedupe, topk=topk, **params)
    return result


def ids(nodes: Sequence[DocNode]) -> list[str]:
    return [node.uid for node in nodes]


@st.composite
def rankings(draw: st.DrawFn) -> Lists:
    """Three branches, each with different nodes of falling scores."""
    pool = [f"{letter}{number}" for letter in "xyz" for number in range(4)]
    lists = {}
    for name in "abc":
        uids = draw(st.lists(st.sampled_from(pool), unique=True, max_size=8))
        scores = draw(st.lists(st.integers(-8, 8), min_size=len(uids), max_size=len(uids)))
        lists[name] = list(zip(uids, sorted((score / 8 for score in scores), reverse=True), strict=True))
    return lists


weights = st.fixed_dictionaries({name: st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0]) for name in "abc"})


@pytest.mark.parametrize("rule", RULES)
@given(lists=rankings(), weights=weights, dedupe=st.sampled_from(["node", "parent"]))
def test_nothing_is_lost_and_nothing_comes_twice(
    rule: str, lists: Lists, weights: dict[str, float], dedupe: str
) -> None:
    found = fused(rule, lists, dedupe=dedupe, **weights)
    all_uids = {uid for ranking in lists.values() for uid, _ in ranking}
    if dedupe == "node":
        assert set(ids(found)) == all_uids
        assert len(found) == len(all_uids)
    else:
        assert sorted(uid[0] for uid in ids(found)) == sorted({uid[0] for uid in all_uids})
        assert set(ids(found)) <= all_uids


@pytest.mark.parametrize("rule", RULES)
@given(lists=rankings(), weights=weights, topk=st.integers(1, 12))
def test_topk_is_kept_and_used_up(rule: str, lists: Lists, weights: dict[str, float], topk: int) -> None:
    everything = fused(rule, lists, **weights)
    assert len(fused(rule, lists, topk=topk, **weights)) == min(topk, len(everything))


@pytest.mark.parametrize("rule", [*ADDING, "priority"])
@given(lists=rankings(), weights=weights, topk=st.integers(1, 12))
def test_fewer_are_the_first_of_all(rule: str, lists: Lists, weights: dict[str, float], topk: int) -> None:
    levels = {"a": lists["a"], "b": lists["b"], "c": lists["c"]}
    assert ids(fused(rule, levels, topk=topk, **weights)) == ids(fused(rule, levels, **weights))[:topk]


@pytest.mark.parametrize("rule", ADDING)
@given(lists=rankings(), weights=weights, order=st.permutations("abc"), dedupe=st.sampled_from(["node", "parent"]))
def test_the_order_of_the_branches_plays_no_part(
    rule: str, lists: Lists, weights: dict[str, float], order: list[str], dedupe: str
) -> None:
    again = {name: lists[name] for name in order}
    one, other = fused(rule, lists, dedupe=dedupe, **weights), fused(rule, again, dedupe=dedupe, **weights)
    assert [(node.uid, node.similarity_score) for node in one] == [(node.uid, node.similarity_score) for node in other]


@pytest.mark.parametrize("rule", ["rrf", "weighted"])
@given(lists=rankings(), weights=weights)
def test_all_weights_times_a_number_change_nothing(rule: str, lists: Lists, weights: dict[str, float]) -> None:
    twice = {name: 2 * weight for name, weight in weights.items()}
    assert ids(fused(rule, lists, **weights)) == ids(fused(rule, lists, **twice))


@given(lists=rankings(), weights=weights, data=st.data())
def test_rrf_a_node_that_rises_in_a_branch_does_not_fall(
    lists: Lists, weights: dict[str, float], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([name for name, ranking in lists.items() if len(ranking) > 1] or ["none"]))
    if name == "none":
        return
    row = data.draw(st.integers(1, len(lists[name]) - 1))
    ranking = list(lists[name])
    uid = ranking[row][0]
    ranking[row - 1], ranking[row] = ranking[row], ranking[row - 1]
    before, after = ids(fused("rrf", lists, **weights)), ids(fused("rrf", {**lists, name: ranking}, **weights))
    assert after.index(uid) <= before.index(uid)


@given(lists=rankings(), weights=weights, data=st.data())
def test_weighted_a_higher_score_does_not_lower_a_node(
    lists: Lists, weights: dict[str, float], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([name for name, ranking in lists.items() if ranking] or ["none"]))
    if name == "none":
        return
    row = data.draw(st.integers(0, len(lists[name]) - 1))
    uid, score = lists[name][row]
    raised = [*lists[name][:row], (uid, score + 1.0), *lists[name][row + 1 :]]
    rule = "weighted, as they are"
    before, after = ids(fused(rule, lists, **weights)), ids(fused(rule, {**lists, name: raised}, **weights))
    assert after.index(uid) <= before.index(uid)


@given(lists=rankings(), shift=st.integers(-3, 3), scale=st.sampled_from([0.5, 1.0, 4.0]))
def test_weighted_makes_no_difference_of_the_unit_of_a_branch(lists: Lists, shift: int, scale: float) -> None:
    other = {**lists, "a": [(uid, score * scale + shift) for uid, score in lists["a"]]}
    # Powers of two and eighths: the arithmetic is exact.
    assert ids(fused("weighted", lists)) == ids(fused("weighted", other))


@given(lists=rankings())
def test_priority_no_lower_level_comes_before_a_higher_one(lists: Lists) -> None:
    found = fused("priority", lists)
    levels = {uid: number for number, name in reversed(list(enumerate("abc"))) for uid, _ in lists[name]}
    assert [levels[uid] for uid in ids(found)] == sorted(levels[uid] for uid in ids(found))


@given(lists=rankings())
def test_concat_is_one_behind_the_other(lists: Lists) -> None:
    together = [node for ranking in made(lists).values() for node in ranking]
    assert ids(fused("concat", lists)) == ids(unique(together))


@given(
    sizes=st.dictionaries(st.sampled_from("abcde"), st.integers(0, 9), min_size=1),
    count=st.integers(0, 30),
    data=st.data(),
)
def test_slots(sizes: dict[str, int], count: int, data: st.DataObject) -> None:
    shares = {name: data.draw(st.sampled_from([0.5, 1.0, 2.0, 5.0])) for name in sizes}
    given_slots = concat.slots(sizes, shares, count)
    assert sum(given_slots.values()) == min(count, sum(sizes.values()))
    assert all(0 <= given_slots[name] <= sizes[name] for name in sizes)
    for one in sizes:
        for other in sizes:
            if shares[one] >= shares[other] and given_slots[one] < sizes[one]:
                # Of two that have enough, the heavier one has no fewer, but for the last place.
                assert given_slots[one] >= given_slots[other] - 1


def test_rrf_by_hand() -> None:
    found = fused("rrf", {"a": [("x1", 9.0), ("y1", 8.0)], "b": [("y1", 0.3)]}, b=2.0)
    assert [(node.uid, node.similarity_score) for node in found] == [
        ("y1", pytest.approx(1 / 62 + 2 / 61)),
        ("x1", pytest.approx(1 / 61)),
    ]
    assert found[0].routes == ("b", "a")  # the one of the higher value stands for both


def test_weighted_by_hand() -> None:
    found = fused("weighted", {"a": [("x1", 9.0), ("y1", 8.0), ("z1", 7.0)], "b": [("z1", 0.3)]}, a=3.0)
    assert [(node.uid, node.similarity_score) for node in found] == [("x1", 0.75), ("y1", 0.375), ("z1", 0.25)]


def test_concat_shares_its_places_by_weight() -> None:
    lists = {"a": [(f"x{n}", 1.0) for n in range(4)], "b": [(f"y{n}", 1.0) for n in range(4)]}
    assert ids(fused("concat", lists, topk=4)) == ["x0", "x1", "y0", "y1"]
    assert ids(fused("concat", lists, topk=4, a=3.0)) == ["x0", "x1", "x2", "y0"]
    assert ids(fused("concat", {**lists, "b": lists["b"][:1]}, topk=4, b=9.0)) == ["x0", "x1", "x2", "y0"]


def test_priority_by_hand() -> None:
    lists = {"a": [("x1", 0.1)], "b": [("x1", 0.9), ("y1", 0.8)], "c": [("z1", 0.9)]}
    assert ids(fused("priority", lists)) == ["x1", "y1", "z1"]
    assert ids(fused("priority", lists, topk=2)) == ["x1", "y1"]


def test_the_best_node_stands_for_its_parent() -> None:
    lists = {"a": [("x1", 0.9), ("x2", 0.8), ("y1", 0.7)], "b": [("x2", 0.9)]}
    for rule in ("concat", "rrf"):
        assert ids(fused(rule, lists, dedupe="parent")) == ["x1", "y1"]
