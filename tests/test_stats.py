"""Intervals and paired tests, against exact enumeration and against what they promise."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from equiwm.stats import (
    EXACT_UP_TO,
    Interval,
    MedianRange,
    bootstrap_interval,
    crossed_interval,
    largest,
    median_and_range,
    ratio,
    sign_flip_test,
    sign_test,
)

RNG = np.random.default_rng


def test_median_and_range():
    assert median_and_range([3, 1, 2, 10]) == MedianRange(2.5, 1.0, 10.0, 4)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf, 1.0], [[1.0, 2.0]]])
def test_values_have_to_be_finite_numbers(values):
    for function in (median_and_range, bootstrap_interval, sign_test, sign_flip_test):
        with pytest.raises(ValueError, match="finite"):
            function(values)


def test_bootstrap_of_a_constant_is_the_constant():
    assert bootstrap_interval([2.0] * 5) == Interval(2.0, 2.0, 2.0, 0.95)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_bootstrap_is_seeded_and_nested_in_level(statistic):
    values = RNG(0).normal(size=30)
    wide = bootstrap_interval(values, statistic=statistic, level=0.99, seed=1)
    narrow = bootstrap_interval(values, statistic=statistic, level=0.8, seed=1)
    assert wide == bootstrap_interval(list(values), statistic=statistic, level=0.99, seed=1)
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high
    assert narrow.estimate == getattr(np, statistic)(values)


def test_the_seed_matters():
    values = RNG(0).normal(size=30)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_bootstrap_of_a_mean_agrees_with_the_normal_one():
    values = RNG(1).normal(3.0, 2.0, 400)
    interval = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)


def test_bootstrap_of_a_median_of_five_seeds_stays_within_them():
    interval = bootstrap_interval([5, 1, 4, 2, 3], statistic="median")
    assert (interval.estimate, interval.low, interval.high) == (3.0, 1.0, 5.0)


def test_bootstrap_covers_as_it_promises():
    hits = 0
    for seed in range(100):
        interval = bootstrap_interval(RNG(seed).normal(1.0, 1.0, 40), level=0.9)
        hits += interval.low <= 1.0 <= interval.high
    assert 80 <= hits <= 97


def test_bootstrap_of_a_ratio_keeps_pairs_together():
    over = RNG(2).uniform(1.0, 10.0, 48)
    exact = bootstrap_interval(2.0 * over, over, statistic="ratio")
    assert (exact.low, exact.high) == (pytest.approx(2.0, abs=1e-12), pytest.approx(2.0, abs=1e-12))
    apart = bootstrap_interval(2.0 * over, RNG(3).permutation(over), statistic="ratio")
    assert apart.estimate == pytest.approx(2.0)
    assert apart.high - apart.low > 0.3


def test_bootstrap_refuses():
    for arguments, options in [
        (([1.0],), {}),
        (([1.0, 2.0],), {"level": 1.0}),
        (([1.0, 2.0],), {"statistic": "ratio"}),
        (([1.0, 2.0], [1.0, 2.0]), {}),
        (([1.0, 2.0], [1.0, 2.0, 3.0]), {"statistic": "ratio"}),
    ]:
        with pytest.raises(ValueError, match=r"expected|ratio"):
            bootstrap_interval(*arguments, **options)


def test_sign_test_is_exact_and_leaves_zeros_out():
    result = sign_test([1, 2, 3, 4, 5, 0, 0])
    assert (result.statistic, result.p, result.n) == (5.0, pytest.approx(2 / 2**5), 5)
    assert sign_test([0.0, 0.0]).p == 1.0


@pytest.mark.parametrize("n", [2, 6, 10])
def test_sign_flip_test_is_exact_for_few_pairs(n):
    differences = RNG(n).normal(0.7, 1.0, n)
    means = [abs(np.mean(differences * signs)) for signs in product([-1, 1], repeat=n)]
    expected = np.mean(np.array(means) >= abs(differences.mean()) - 1e-12)
    assert sign_flip_test(differences).p == pytest.approx(expected)
    assert sign_flip_test(differences, seed=5) == sign_flip_test(differences)
    assert sign_flip_test(-differences).p == sign_flip_test(differences).p


def test_sign_flip_test_of_many_pairs_is_seeded_and_close_to_exact():
    differences = RNG(0).normal(0.6, 1.0, EXACT_UP_TO + 1)
    signs = np.array(list(product([-1, 1], repeat=len(differences))))
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    result = sign_flip_test(differences, seed=1)
    assert result == sign_flip_test(differences, seed=1)
    assert 0.001 < exact < 0.5
    assert result.p == pytest.approx(exact, abs=0.01)


def test_sign_flip_test_sees_a_shift_and_no_shift():
    noise = RNG(3).normal(size=48)
    assert sign_flip_test(noise + 2.0).p < 1e-3
    assert sign_flip_test(noise - noise.mean()).p > 0.9
    assert sign_flip_test(np.zeros(5)).p == 1.0


def test_a_ratio_to_what_diverged_is_unknown_and_the_worst_of_a_nan_is_nan() -> None:
    assert math.isnan(ratio(1.0, math.inf))  # 0.0 looked like a model that is perfect where it never was
    assert math.isnan(ratio(1.0, math.nan))
    assert math.isnan(ratio(1.0, 0.0))
    assert math.isnan(ratio(math.nan, 1.0))
    assert ratio(math.inf, 2.0) == math.inf
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(0.0, 0.0) == 1.0
    assert all(map(math.isnan, (largest([0.5, math.nan]), largest([math.nan, 0.5]), largest([]))))
    assert largest(iter([0.5, 2.0])) == 2.0
    assert largest([math.inf, 0.0]) == math.inf


def test_an_interval_over_seeds_and_tasks_is_wide_where_seeds_differ():
    """Five seeds far apart, tasks alike: tasks alone give a narrow interval, both together one as wide as the seeds."""
    rng = np.random.default_rng(0)
    table = np.array([12.0, 16.0, 20.0, 22.0, 24.0])[:, None] + rng.normal(0.0, 0.5, (5, 48))
    alone, both = bootstrap_interval(table.mean(0)), crossed_interval(table)
    assert both.estimate == pytest.approx(alone.estimate) == pytest.approx(table.mean())
    assert alone.high - alone.low < 0.5
    assert 5.0 < both.high - both.low < 10.0
    same = crossed_interval(np.broadcast_to(table.mean(0), table.shape))  # seeds that are one: about the tasks' own
    assert same.high - same.low == pytest.approx(alone.high - alone.low, rel=0.3)


def test_a_crossed_interval_covers_another_training():
    """95% nominal, conservative by construction: of 200 tables with effects of seeds and of tasks few miss the mean."""
    rng, missed = np.random.default_rng(1), 0
    for _ in range(200):
        table = rng.normal(0, 1, (8, 1)) + rng.normal(0, 1, (1, 30)) + rng.normal(0, 1, (8, 30))
        found = crossed_interval(table)
        missed += not found.low <= 0.0 <= found.high
    assert missed <= 25


def test_a_crossed_ratio_is_that_of_the_means():
    rng = np.random.default_rng(2)
    over = rng.uniform(1.0, 2.0, (4, 20))
    found = crossed_interval(1.5 * over, over, statistic="ratio")
    assert (found.estimate, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))


@pytest.mark.parametrize("values", [np.zeros((1, 5)), np.zeros((5, 1)), np.zeros(5), np.full((3, 3), np.nan)])
def test_a_crossed_interval_needs_seeds_and_tasks(values):
    with pytest.raises(ValueError, match="at least two seeds and two tasks"):
        crossed_interval(values)
