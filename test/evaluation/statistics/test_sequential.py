"""Evidence one may look at at any time: its error stays below alpha however often one looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla3d_ros.evaluation.statistics.sequential import (
    DiscordantEProcess,
    TwoArmEProcess,
    discordant_e_value,
    discordant_e_value_one_sided,
    simulate_discordant,
    simulate_two_arm,
)

NULL_EXPERIMENTS = 10_000
PAIRS = 200
ALPHA = 0.05


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_ten_thousand_null_experiments_watched_after_every_pair_seldom_reject(rate):
    paths = simulate_two_arm((rate, rate), PAIRS, NULL_EXPERIMENTS, np.random.default_rng(7))
    rejected = (paths >= 1 / ALPHA).any(axis=1).mean()
    assert rejected <= ALPHA


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_ten_thousand_paired_null_experiments_watched_after_every_pair_seldom_reject(share):
    paths = simulate_discordant((share, share), PAIRS, NULL_EXPERIMENTS, np.random.default_rng(8))
    rejected = (paths >= 1 / ALPHA).any(axis=1).mean()
    assert rejected <= ALPHA


def test_looking_at_a_fixed_test_after_every_pair_would_reject_far_too_often():
    """The reason for all of this: McNemar's p-value, looked at after every pair."""
    from vla3d_ros.evaluation.statistics.paired import mcnemar_p_value

    draw = np.random.default_rng(9).random((300, PAIRS))
    b, c = np.cumsum(draw < 0.25, axis=1), np.cumsum(draw > 0.75, axis=1)
    below = [any(mcnemar_p_value(int(x), int(y)) < ALPHA for x, y in zip(*run, strict=True)) for run in zip(b, c)]  # noqa: B905
    assert np.mean(below) > 2 * ALPHA


def test_a_streak_of_the_second_gathers_the_known_evidence():
    process = TwoArmEProcess()
    for expected in (1.7778, 4.0, 10.24, 28.44):
        process.update(first=False, second=True)
        assert process.e_second_better == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize(
    ("b", "c", "two_sided", "one_sided"),
    [(8, 0, 28.444, 56.778), (7, 0, 16, 31.875), (9, 1, 9.309, 18.509), (12, 3, 4.501, 8.907), (15, 3, 16.908, 33.742)],
)
def test_evidence_of_discordant_pairs_has_the_known_values(b, c, two_sided, one_sided):
    assert discordant_e_value(b, c) == pytest.approx(two_sided, abs=6e-4)
    assert discordant_e_value_one_sided(b, c) == pytest.approx(one_sided, abs=6e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_simulation_is_the_process_itself(pairs):
    from vla3d_ros.evaluation.statistics.sequential import _one_sided_paths

    two_arm, discordant = TwoArmEProcess(), DiscordantEProcess()
    first, second = np.array(pairs, dtype=bool).T[:, None, :]
    paths = (_one_sided_paths(first, second) + _one_sided_paths(second, first))[0] / 2
    for index, (one, other) in enumerate(pairs):
        assert two_arm.update(one, other) == pytest.approx(paths[index])
        discordant.update(one, other)
    b, c = (first & ~second).sum(), (~first & second).sum()
    assert discordant.e_value == pytest.approx(discordant_e_value(int(b), int(c)))


def test_a_p_value_never_rises_again():
    process, last = DiscordantEProcess(), 1.0
    generator = np.random.default_rng(1)
    for _ in range(60):
        process.update(bool(generator.random() < 0.7), bool(generator.random() < 0.3))
        assert process.p_value <= last
        last = process.p_value


def test_a_large_difference_stops_early_and_a_small_one_late():
    generator = np.random.default_rng(2)
    large = simulate_two_arm((0.3, 0.9), PAIRS, 1000, generator) >= 1 / ALPHA
    assert large.any(axis=1).mean() > 0.99
    assert (large.argmax(axis=1) + 1).mean() < 20
