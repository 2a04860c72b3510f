from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics import percentile, wilson_interval
from vla3d_ros.evaluation.statistics.proportions import (
    clopper_pearson_interval,
    most_failures_unseen,
    probability_of_better,
)

COUNTS = st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(COUNTS)
def test_interval_holds_the_rate_and_stays_between_none_and_all(counts):
    found = wilson_interval(*counts)
    assert 0.0 <= found.low <= found.rate <= found.high <= 1.0
    assert found.low < found.high


@given(COUNTS)
def test_interval_of_failures_mirrors_that_of_successes(counts):
    successes, trials = counts
    wins, losses = wilson_interval(successes, trials), wilson_interval(trials - successes, trials)
    assert (wins.low, wins.high) == pytest.approx((1 - losses.high, 1 - losses.low))


@given(COUNTS)
def test_interval_narrows_with_more_trials(counts):
    successes, trials = counts
    few, many = wilson_interval(successes, trials), wilson_interval(10 * successes, 10 * trials)
    assert many.high - many.low < few.high - few.low


def test_interval_matches_published_values():
    found = wilson_interval(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (3, 10, 0.1078, 0.6032),
        (5, 10, 0.2366, 0.7634),
        (6, 10, 0.3127, 0.8318),
        (9, 10, 0.5958, 0.9821),
        (10, 10, 0.7225, 1.0),
        (25, 50, 0.3664, 0.6336),
        (40, 50, 0.6696, 0.8876),
        (45, 50, 0.7864, 0.9565),
    ],
)
def test_wilson_interval_has_the_known_values(x, n, low, high):
    found = wilson_interval(x, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (6, 10, 0.2624, 0.8784),
        (10, 10, 0.6915, 1.0),
        (45, 50, 0.7819, 0.9667),
    ],
)
def test_exact_interval_has_the_known_values(x, n, low, high):
    assert clopper_pearson_interval(x, n) == pytest.approx((low, high), abs=6e-5)


def test_no_failure_in_ten_rules_out_little():
    assert most_failures_unseen(10) == pytest.approx(0.259, abs=5e-4)
    assert most_failures_unseen(50) == pytest.approx(0.058, abs=5e-4)


@pytest.mark.parametrize(
    ("x1", "x2", "n", "probability"),
    [(9, 3, 10, 0.99624), (8, 5, 10, 0.90867), (29, 25, 50, 0.78648), (46, 28, 50, 0.99998), (10, 8, 10, 0.89286)],
)
def test_posterior_of_being_better_has_the_known_values(x1, x2, n, probability):
    assert probability_of_better((x1, x2), (n, n)) == pytest.approx(probability, abs=2e-5)


def test_more_successes_than_trials_are_refused():
    with pytest.raises(ConfigError, match="11 successes of 10 trials"):
        wilson_interval(11, 10)


def test_nothing_is_known_without_trials():
    found = wilson_interval(0, 0)
    assert (found.low, found.high) == (0.0, 1.0)


def test_percentile_ignores_what_is_not_a_number():
    assert percentile([1.0, np.nan, 3.0], 50) == 2.0
    assert percentile([np.nan], 50) is None
    assert percentile([], 99) is None
