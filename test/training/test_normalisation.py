"""Normalisation from the samples that train, and those alone."""

import numpy as np
import pytest
from drawn_samples import drawn_sample

from vla3d_ros.errors import ShapeError
from vla3d_ros.training.normalisation import measure_normalisation

SAMPLES = [drawn_sample(seed) for seed in range(6)]


def test_mean_and_spread_are_those_of_all_steps():
    found = measure_normalisation(SAMPLES, range(4))
    actions = np.stack([sample.actions for sample in SAMPLES[:4]]).reshape(-1, 10).astype(np.float64)
    np.testing.assert_allclose(found.action_mean[0], actions.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.action_std[0, :3], actions.std(axis=0)[:3], rtol=1e-9)
    states = np.stack([sample.state[0] for sample in SAMPLES[:4]]).astype(np.float64)
    np.testing.assert_allclose(found.state_std[0, 10:17], states.std(axis=0)[10:17], rtol=1e-9)


def test_held_out_samples_have_no_say():
    few, all_of_them = measure_normalisation(SAMPLES, range(3)), measure_normalisation(SAMPLES, range(6))
    assert not np.allclose(few.action_mean, all_of_them.action_mean)


def test_what_never_varies_is_divided_by_a_small_number_but_not_by_nothing():
    found = measure_normalisation(SAMPLES, range(6))
    np.testing.assert_array_equal(found.action_std[0, 3:9], 0.005)
    assert (found.state_std > 0).all()


def test_normalised_actions_have_mean_zero_and_spread_one():
    found = measure_normalisation(SAMPLES, range(6))
    normal = found.actions(np.stack([sample.actions for sample in SAMPLES]), np.ones((6, 1), bool))
    np.testing.assert_allclose(normal[..., [0, 1, 2, 9]].std(axis=(0, 1)), 1.0, rtol=1e-4)
    np.testing.assert_allclose(normal.mean(axis=(0, 1)), 0.0, atol=1e-4)


def test_no_samples_is_an_error():
    with pytest.raises(ShapeError, match="no samples"):
        measure_normalisation(SAMPLES, [])
