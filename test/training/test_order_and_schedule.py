"""Order, chance and rate of a step are functions of seed and step alone."""

import numpy as np
import pytest

from vla3d_ros.training.order import SampleOrder, pass_generator
from vla3d_ros.training.schedule import learning_rate

INDICES = np.array([2, 3, 5, 7, 11, 13, 17])


def order(seed=0, batch=3):
    return SampleOrder(indices=INDICES, batch=batch, seed=seed)


def test_an_epoch_shows_every_sample_once_in_an_order_of_its_own():
    seen = np.concatenate([order().pass_indices(number) for number in range(7)])
    epochs = seen.reshape(3, 7)
    for epoch in epochs:
        assert sorted(epoch) == INDICES.tolist()
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_pass_is_the_same_whatever_was_asked_before():
    fresh, used = order(), order()
    for number in range(5):
        used.pass_indices(number)
    np.testing.assert_array_equal(fresh.pass_indices(9), used.pass_indices(9))


def test_other_seeds_and_passes_have_other_chance():
    drawn = {pass_generator(seed, number).random() for seed in range(3) for number in range(3)}
    assert len(drawn) == 9


@pytest.mark.parametrize(("step", "rate"), [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.51), (109, 0.0202), (110, 0.02)])
def test_rate_rises_to_the_peak_then_follows_half_a_cosine(step, rate):
    got = learning_rate(step, 110, peak=1.0, final=0.02, warmup_steps=10)
    np.testing.assert_allclose(got, rate, atol=5e-4)
