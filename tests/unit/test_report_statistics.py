"""Intervals and tests: their laws, and values against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from confrag.report.pareto import front
from confrag.report.statistics import ALPHA, Scores, compare, groups, holm, intervals, sign_flip_p

SCORE = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 3))
FEW = settings(max_examples=25, deadline=None)
P_VALUES = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=12)


def tables(queries: int) -> st.SearchStrategy[Scores]:
    return st.integers(2, 5).flatmap(lambda jobs: arrays(np.float64, (jobs, queries), elements=SCORE))


def noisy(jobs: int = 3, queries: int = 60, step: float = 0.1) -> Scores:
    random = np.random.default_rng(3)
    hardness = random.normal(0.5, 0.2, queries)
    return np.stack([hardness + step * job + random.normal(0, 0.1, queries) for job in range(jobs)])


@FEW
@given(tables(9))
def test_exact_p_values_are_those_of_scipy(scores: Scores) -> None:
    difference = scores[0] - scores[1]
    expected = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip_p(difference[None])[0] == pytest.approx(expected.pvalue, abs=1e-12)


def test_random_p_values_are_near_those_of_scipy() -> None:
    scores = noisy(2, step=0.025)
    difference = scores[1] - scores[0]
    expected = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    assert 0.005 < expected.pvalue < 0.5
    assert sign_flip_p(difference[None])[0] == pytest.approx(expected.pvalue, abs=0.015)


def test_a_p_value_by_hand() -> None:
    # Of the 8 patterns of signs of 1, 2, 3 only +++ and --- reach a sum of 6.
    assert sign_flip_p(np.array([[1.0, 2.0, 3.0]])).tolist() == [2 / 8]


@pytest.mark.parametrize("queries", [5, 40])
def test_p_values_lie_between_0_and_1_and_equal_runs_do_not_differ(queries: int) -> None:
    @FEW
    @given(tables(queries))
    def check(scores: Scores) -> None:
        found = compare(np.vstack([scores, scores[0]]), 0)
        assert all(0 < comparison.p <= comparison.p_holm <= 1 for comparison in found.values())
        same = found[len(scores)]
        assert (same.p, same.p_holm, same.difference, same.low, same.high) == (1, 1, 0, 0, 0)
        assert (same.wins, same.ties, same.losses, same.effect) == (0, queries, 0, None)
        assert not same.significant

    check()


@FEW
@given(tables(30), st.randoms(use_true_random=False))
def test_comparisons_do_not_depend_on_the_order_of_jobs(scores: Scores, random: object) -> None:
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight, shuffled = compare(scores, 0), compare(scores[order], order.index(0))
    for row, comparison in straight.items():
        other = shuffled[order.index(row)]
        assert other.p == comparison.p
        assert other.p_holm == pytest.approx(comparison.p_holm)
        assert (other.low, other.high) == (pytest.approx(comparison.low), pytest.approx(comparison.high))


@FEW
@given(tables(25))
def test_a_comparison_read_the_other_way_round_is_its_mirror(scores: Scores) -> None:
    one, other = compare(scores[:2], 0)[1], compare(scores[:2], 1)[0]
    assert one.p == other.p
    assert one.difference == pytest.approx(-other.difference)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-9), pytest.approx(-other.low, abs=1e-9))


def test_only_queries_that_both_have_are_compared() -> None:
    scores = noisy(2)
    scores[0, :20] = np.nan
    found, shared = compare(scores, 0)[1], compare(scores[:, 20:], 0)[1]
    assert found.n == 40
    assert found.difference == pytest.approx(shared.difference)
    assert found.effect == pytest.approx(shared.effect)


def test_nothing_in_common_is_no_difference() -> None:
    found = compare(np.array([[0.5, np.nan], [np.nan, 0.9]]), 0)[1]
    assert (found.n, found.difference, found.p, found.low, found.high) == (0, 0.0, 1.0, 0.0, 0.0)


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3, then what came before counts at least: 0.03 * 2 = 0.06, 0.04 * 1 = 0.04 -> 0.06.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []


@given(P_VALUES)
def test_holm_keeps_the_order_and_never_makes_a_p_value_smaller(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    assert min(adjusted) == pytest.approx(min(1.0, len(p) * min(p)))
    pairs = sorted(zip(p, adjusted, strict=True))
    assert [after for _, after in pairs] == sorted(adjusted)


def test_an_interval_is_near_that_of_the_normal_distribution() -> None:
    scores = np.random.default_rng(5).normal(0.5, 0.1, (1, 400))
    low, high = intervals(scores)
    error = scores.std(ddof=1) / np.sqrt(400)
    assert low[0] == pytest.approx(scores.mean() - 1.96 * error, abs=error / 10)
    assert high[0] == pytest.approx(scores.mean() + 1.96 * error, abs=error / 10)


@FEW
@given(tables(20))
def test_an_interval_holds_its_mean_and_is_the_same_for_equal_rows(scores: Scores) -> None:
    low, high = intervals(np.vstack([scores, scores[:1]]))
    assert (low[0], high[0]) == (pytest.approx(low[-1]), pytest.approx(high[-1]))
    assert np.all(low[:-1] <= scores.mean(axis=1) + 1e-9)
    assert np.all(scores.mean(axis=1) <= high[:-1] + 1e-9)


def test_a_row_without_scores_has_no_interval() -> None:
    low, high = intervals(np.array([[np.nan, np.nan], [0.5, np.nan]]))
    assert np.isnan(low[0])
    assert np.isnan(high[0])
    assert (low[1], high[1]) == (0.5, 0.5)


def test_groups_hold_what_does_not_differ_from_their_first() -> None:
    scores = noisy(3, step=0.3)
    assert groups(np.vstack([scores, scores[2]])) == [3, 2, 1, 1]
    assert groups(np.vstack([scores[0], scores[0]])) == [1, 1]
    assert groups(scores[:0]) == []


def test_the_first_group_is_what_does_not_differ_from_the_best() -> None:
    scores = noisy(6, queries=40, step=0.015)
    best = int(scores.mean(axis=1).argmax())
    alike = {best} | {row for row, found in compare(scores, best).items() if found.p_holm >= ALPHA}
    found = groups(scores)
    assert 1 < len(alike) < 6
    assert {row for row, group in enumerate(found) if group == 1} == alike


@FEW
@given(arrays(np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(0, 4)))
def test_the_front_is_what_nothing_dominates(points: Scores) -> None:
    def dominates(one: Scores, other: Scores) -> bool:
        return bool((one <= other).all() and (one < other).any())

    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert front(points.tolist()) == expected
    assert any(expected)


def test_there_is_no_front_of_nothing() -> None:
    assert front([]) == []
