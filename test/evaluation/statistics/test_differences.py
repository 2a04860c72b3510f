"""Two rates: against values computed elsewhere, and against laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.evaluation.statistics.differences import (
    miettinen_nurminen_interval,
    newcombe_interval,
    unpaired_p_value,
)

KNOWN = [  # x1 n1 x2 n2, Newcombe, Miettinen-Nurminen, Fisher, Barnard, Boschloo
    (56, 70, 48, 80, (0.0524, 0.3339), (0.0528, 0.3382), 0.01252, 0.00887, 0.00884),
    (9, 10, 3, 10, (0.1705, 0.8090), (0.1700, 0.8406), 0.01977, 0.00693, 0.00796),
    (8, 10, 5, 10, (-0.1067, 0.5999), (-0.1293, 0.6378), 0.34985, 0.22063, 0.19734),
    (10, 10, 6, 10, (0.0384, 0.6873), (0.0565, 0.6932), 0.08669, 0.04186, 0.04219),
    (10, 10, 0, 10, (0.6075, 1.0), (0.6636, 1.0), 1.083e-5, 1.907e-6, 1.907e-6),
    (7, 10, 2, 10, (0.0665, 0.7398), (0.0535, 0.7804), 0.06978, 0.04139, 0.04139),
    (29, 50, 25, 50, (-0.1118, 0.2638), (-0.1151, 0.2692), 0.54747, 0.53095, 0.46750),
    (46, 50, 28, 50, (0.1920, 0.5053), (0.1976, 0.5117), 0.00006, 0.00003, 0.00003),
]
TABLES = st.tuples(st.integers(2, 40), st.integers(2, 40)).flatmap(
    lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
)


@pytest.mark.parametrize("row", KNOWN, ids=str)
def test_intervals_of_a_difference_have_the_known_values(row):
    x1, n1, x2, n2, newcombe, score = row[:6]
    assert newcombe_interval(x1, n1, x2, n2) == pytest.approx(newcombe, abs=6e-5)
    assert miettinen_nurminen_interval(x1, n1, x2, n2) == pytest.approx(score, abs=1.1e-4)


@pytest.mark.parametrize("row", KNOWN, ids=str)
def test_exact_tests_have_the_known_values(row):
    x1, n1, x2, n2, *_, fisher, barnard, boschloo = row
    assert unpaired_p_value(x1, n1, x2, n2, test="fisher") == pytest.approx(fisher, abs=6e-6, rel=1e-3)
    assert unpaired_p_value(x1, n1, x2, n2, test="barnard") == pytest.approx(barnard, abs=6e-6, rel=1e-3)
    assert unpaired_p_value(x1, n1, x2, n2, test="boschloo") == pytest.approx(boschloo, abs=6e-6, rel=1e-3)


@settings(max_examples=60)
@given(TABLES)
def test_swapping_the_two_mirrors_the_interval(table):
    x1, n1, x2, n2 = table
    for interval in (newcombe_interval, miettinen_nurminen_interval):
        low, high = interval(x1, n1, x2, n2)
        assert interval(x2, n2, x1, n1) == pytest.approx((-high, -low), abs=1e-6)
        assert -1.0 <= low <= x1 / n1 - x2 / n2 + 1e-9 and x1 / n1 - x2 / n2 - 1e-9 <= high <= 1.0


def test_nothing_tells_two_policies_apart_that_never_succeed():
    assert unpaired_p_value(0, 10, 0, 10) == 1.0
    assert unpaired_p_value(10, 10, 10, 10) == 1.0


def test_newcombe_agrees_with_a_second_implementation():
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    theirs = proportion.confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    assert newcombe_interval(56, 70, 48, 80) == pytest.approx(theirs, abs=1e-9)
