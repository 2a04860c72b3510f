"""Strata: against R's manual, statsmodels and laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics.stratified import (
    Stratum,
    cochran_mantel_haenszel,
    stratified_difference,
    stratified_p_value,
)

# R, data set UCBAdmissions: admitted and applied, men and women, of departments A to F.
BERKELEY = [
    Stratum(512, 825, 89, 108),
    Stratum(353, 560, 17, 25),
    Stratum(120, 325, 202, 593),
    Stratum(138, 417, 131, 375),
    Stratum(53, 191, 94, 393),
    Stratum(22, 373, 24, 341),
]
# R, example of mantelhaen.test: rabbits cured by penicillin, given at once or after 1.5 h, at five doses.
RABBITS = [Stratum(0, 6, 0, 5), Stratum(3, 6, 0, 6), Stratum(6, 6, 2, 6), Stratum(5, 6, 6, 6), Stratum(2, 2, 5, 5)]


def test_the_exact_test_has_the_value_of_rs_manual():
    assert stratified_p_value(RABBITS) == pytest.approx(0.03994, abs=6e-6)


def test_one_stratum_is_fishers_test():
    for x1, n1, x2, n2 in ((9, 10, 3, 10), (8, 10, 5, 10), (10, 10, 0, 10), (29, 50, 25, 50)):
        fisher = stats.fisher_exact([[x1, x2], [n1 - x1, n2 - x2]]).pvalue
        assert stratified_p_value([Stratum(x1, n1, x2, n2)]) == pytest.approx(fisher)


@pytest.mark.parametrize("strata", [BERKELEY, RABBITS])
def test_cochran_mantel_haenszel_agrees_with_statsmodels(strata):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    theirs = tables.StratifiedTable(
        [np.array([[x1, n1 - x1], [x2, n2 - x2]], dtype=float) for x1, n1, x2, n2 in strata]
    ).test_null_odds(correction=False)
    statistic, p_value = cochran_mantel_haenszel(strata)
    assert (statistic, p_value) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_a_paradox_is_seen_through():
    """Pooled, men were admitted far more often; within departments the difference is gone."""
    x1, n1, x2, n2 = (sum(column) for column in zip(*BERKELEY, strict=True))
    assert x1 / n1 - x2 / n2 > 0.14
    difference, low, high = stratified_difference(BERKELEY)
    assert low < 0 < high and abs(difference) < 0.02
    assert stratified_p_value(BERKELEY) > 0.2


def test_one_stratum_gives_the_plain_difference_and_swapping_turns_the_sign():
    difference, low, high = stratified_difference([Stratum(56, 70, 48, 80)])
    assert difference == pytest.approx(0.2)
    wald = 1.96 * np.sqrt(0.8 * 0.2 / 70 + 0.6 * 0.4 / 80)
    assert high - low == pytest.approx(2 * wald, rel=0.03)
    there = stratified_difference(RABBITS)
    back = stratified_difference([Stratum(n.x2, n.n2, n.x1, n.n1) for n in RABBITS])
    assert back == pytest.approx((-there[0], -there[2], -there[1]))


def test_the_interval_covers_the_true_difference_nineteen_times_of_twenty():
    generator, hits, runs = np.random.default_rng(7), 0, 2000
    base = np.linspace(0.2, 0.6, 30)
    for _ in range(runs):
        first, second = generator.binomial(3, base + 0.2), generator.binomial(5, base)
        strata = [Stratum(int(a), 3, int(b), 5) for a, b in zip(first, second, strict=True)]
        _, low, high = stratified_difference(strata)
        hits += low <= 0.2 <= high
    assert hits / runs == pytest.approx(0.95, abs=0.015)


def test_the_exact_test_errs_at_most_as_often_as_it_says():
    generator, base = np.random.default_rng(3), np.linspace(0.1, 0.9, 8)
    wrong = 0
    for _ in range(1500):
        first, second = generator.binomial(4, base), generator.binomial(4, base)
        wrong += stratified_p_value([Stratum(int(a), 4, int(b), 4) for a, b in zip(first, second, strict=True)]) < 0.05
    assert wrong / 1500 <= 0.055


def test_strata_without_both_say_nothing():
    assert cochran_mantel_haenszel([Stratum(0, 0, 3, 5), Stratum(2, 2, 0, 0)]) == (0.0, 1.0)
    assert stratified_p_value([Stratum(0, 0, 3, 5)]) == 1.0
    with pytest.raises(ConfigError, match="none with trials of both"):
        stratified_difference([Stratum(0, 0, 3, 5)])
    with pytest.raises(ConfigError, match="4 successes of 3"):
        stratified_p_value([Stratum(4, 3, 0, 1)])
