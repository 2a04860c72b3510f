"""Pairs: against values computed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics.paired import cochrans_q, count_pairs, mcnemar_p_value, tango_interval


@pytest.mark.parametrize(
    ("b", "c", "exact", "mid_p"),
    [
        (9, 1, 0.02148, 0.01172),
        (6, 0, 0.03125, 0.01562),
        (5, 0, 0.0625, 0.03125),
        (8, 2, 0.10938, 0.06543),
        (12, 3, 0.03516, 0.02127),
    ],
)
def test_mcnemar_has_the_known_values_and_knows_no_order(b, c, exact, mid_p):
    for first, second in ((b, c), (c, b)):
        assert mcnemar_p_value(first, second) == pytest.approx(exact, abs=6e-6)
        assert mcnemar_p_value(first, second, is_mid_p=True) == pytest.approx(mid_p, abs=6e-6)


def test_pairs_that_agree_say_nothing():
    assert mcnemar_p_value(0, 0) == 1.0
    assert mcnemar_p_value(4, 4) == 1.0


@pytest.mark.parametrize(
    ("b", "c", "n", "low", "high"),
    [(9, 1, 20, 0.1053, 0.6300), (6, 0, 10, 0.1559, 0.8318), (12, 3, 50, 0.0314, 0.3299)],
)
def test_tango_interval_has_the_known_values(b, c, n, low, high):
    assert tango_interval(b, c, n) == pytest.approx((low, high), abs=6e-5)
    assert tango_interval(c, b, n) == pytest.approx((-high, -low), abs=6e-5)


@pytest.mark.parametrize("counts", [(10, 0, 10), (0, 10, 10), (0, 0, 10), (1, 0, 1)])
def test_tango_interval_holds_the_difference_at_the_edges(counts):
    b, c, n = counts
    low, high = tango_interval(b, c, n)
    assert -1.0 <= low <= (b - c) / n <= high <= 1.0
    assert low < high


def test_pairs_are_counted_by_who_succeeded():
    first = np.array([True, True, False, False, True])
    second = np.array([True, False, True, False, False])
    counts = count_pairs(first, second)
    assert (counts.both, counts.first_only, counts.second_only, counts.neither) == (1, 2, 1, 1)
    assert counts.difference == pytest.approx(0.2)
    with pytest.raises(ConfigError, match="one of each per condition"):
        count_pairs(first, second[:4])


def test_cochrans_q_of_two_policies_is_mcnemars_chi_squared():
    outcomes = np.array([[1, 0]] * 9 + [[0, 1]] * 2 + [[1, 1]] * 5, dtype=bool)
    q, _ = cochrans_q(outcomes)
    assert q == pytest.approx((9 - 2) ** 2 / (9 + 2))


def test_cochrans_q_agrees_with_a_second_implementation():
    tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is not installed")
    outcomes = np.random.default_rng(3).random((40, 4)) < [0.3, 0.5, 0.6, 0.9]
    theirs = tables.cochrans_q(outcomes.astype(int))
    assert cochrans_q(outcomes) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert cochrans_q(np.ones((5, 3), dtype=bool)) == (0.0, 1.0)
