from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla3d_ros.evaluation.statistics import percentile, wilson_interval

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


def test_nothing_is_known_without_trials():
    found = wilson_interval(0, 0)
    assert (found.low, found.high) == (0.0, 1.0)


def test_percentile_ignores_what_is_not_a_number():
    assert percentile([1.0, np.nan, 3.0], 50) == 2.0
    assert percentile([np.nan], 50) is None
    assert percentile([], 99) is None
