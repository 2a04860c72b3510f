"""Objects as the sample: laws, and the design effect of trials that resemble one another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics import wilson_interval
from vla3d_ros.evaluation.statistics.clustered import clustered_difference, clustered_interval


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def test_objects_that_always_or_never_succeed_are_worth_one_trial_each():
    always = np.repeat([1, 0], [24, 16])
    ten_each = clustered_interval(10 * always, np.full(40, 10), np.random.default_rng(0))
    one_each = clustered_interval(always, np.ones(40), np.random.default_rng(0))
    assert ten_each == one_each
    assert width(ten_each) > 2.5 * width((wilson_interval(240, 400).low, wilson_interval(240, 400).high))


def test_it_agrees_with_scipys_bootstrap():
    generator = np.random.default_rng(1)
    n = generator.integers(3, 12, size=50)
    x = generator.binomial(n, generator.beta(3, 2, size=50))
    theirs = stats.bootstrap(
        (x, n),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert clustered_interval(x, n, np.random.default_rng(0)) == pytest.approx((theirs.low, theirs.high), abs=0.012)


def test_independent_trials_lose_nothing():
    n = np.full(200, 5)
    x = np.random.default_rng(4).binomial(n, 0.6)
    found = width(clustered_interval(x, n, np.random.default_rng(0)))
    wilson = wilson_interval(int(x.sum()), 1000)
    assert found == pytest.approx(wilson.high - wilson.low, rel=0.15)


def test_it_covers_the_true_rate_where_trials_resemble_one_another():
    generator, hits, naive, runs = np.random.default_rng(5), 0, 0, 300
    for _ in range(runs):
        x = generator.binomial(10, generator.beta(1.5, 1.0, size=40))
        low, high = clustered_interval(x, np.full(40, 10), generator)
        hits += low <= 0.6 <= high
        wilson = wilson_interval(int(x.sum()), 400)
        naive += wilson.low <= 0.6 <= wilson.high
    assert hits / runs > 0.90
    assert naive / runs < 0.80


def test_a_difference_on_the_same_objects_is_surer_than_that_of_others():
    generator = np.random.default_rng(6)
    rate = generator.beta(1.5, 1.5, size=60)
    n = np.full(60, 10)
    first, second = generator.binomial(n, rate), generator.binomial(n, rate)
    same = width(clustered_difference((first, n), (second, n), np.random.default_rng(0)))
    order = generator.permutation(60)
    other = width(clustered_difference((first, n), (second[order], n), np.random.default_rng(0)))
    assert same < 0.8 * other


def test_too_few_objects_are_refused():
    with pytest.raises(ConfigError, match="expected 10 or more"):
        clustered_interval([1] * 9, [2] * 9, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="the same clusters"):
        clustered_difference(([1] * 10, [2] * 10), ([1] * 11, [2] * 11), np.random.default_rng(0))
