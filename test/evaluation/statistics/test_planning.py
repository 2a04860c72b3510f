"""How many trials: against values computed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics.planning import (
    exact_power,
    pairs_needed,
    sequential_paired_plan,
    sequential_plan,
    trials_per_arm,
)


@pytest.mark.parametrize(
    ("p1", "p2", "plain", "corrected"),
    [
        (0.5, 0.7, 93.00, 102.8),
        (0.5, 0.8, 38.5, 44.9),
        (0.6, 0.9, 31.5, 37.9),
        (0.7, 0.85, 120.5, 133.5),
        (0.75, 0.85, 249.98, 269.6),
        (0.8, 0.9, 198.96, 218.5),
        (0.85, 0.95, 140.1, 159.5),
    ],
)
def test_trials_per_policy_have_the_known_values(p1, p2, plain, corrected):
    assert trials_per_arm(p1, p2) == pytest.approx(plain, abs=0.06)
    assert trials_per_arm(p1, p2, corrected=True) == pytest.approx(corrected, abs=0.06)


def test_pairs_have_the_known_value_and_are_fewer_than_independent_trials():
    assert pairs_needed(0.3, 0.1) == pytest.approx(76.1, abs=0.06)
    assert pairs_needed(0.3, 0.1) < trials_per_arm(0.5, 0.7)


@pytest.mark.parametrize(
    ("p1", "p2", "n", "fisher", "boschloo"),
    [(0.5, 0.8, 10, 0.132, 0.254), (0.6, 0.9, 10, 0.152, 0.291), (0.5, 0.8, 20, 0.410, 0.492)],
)
def test_exact_power_has_the_known_values(p1, p2, n, fisher, boschloo):
    assert exact_power(p1, p2, n, test="fisher") == pytest.approx(fisher, abs=6e-4)
    assert exact_power(p1, p2, n, test="boschloo") == pytest.approx(boschloo, abs=6e-4)


def test_a_sequential_plan_knows_how_soon_it_would_stop():
    generator = np.random.default_rng(5)
    easy = sequential_plan(0.3, 0.9, most_pairs=50, generator=generator)
    hard = sequential_plan(0.5, 0.7, most_pairs=50, generator=generator)
    assert easy.power > 0.95 > hard.power
    assert easy.mean_pairs < hard.mean_pairs <= 50
    paired = sequential_paired_plan(0.3, 0.02, most_pairs=100, generator=generator)
    assert paired.power > 0.9


def test_equal_rates_can_not_be_told_apart_by_any_number():
    with pytest.raises(ConfigError, match="two different fractions"):
        trials_per_arm(0.5, 0.5)
    with pytest.raises(ConfigError, match="discordant"):
        pairs_needed(0.2, 0.2)
