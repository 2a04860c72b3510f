"""Averaging poses: rotations in SO(3), each chunk only where it has steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vla3d_ros.adapter.ensembling import PoseEnsemble, mean_transforms
from vla3d_ros.geometry import exp_se3

DT_NS = 33_333_333


def poses(seed, count, steps=4, spread=0.5):
    generator = np.random.default_rng(seed)
    common = exp_se3(generator.normal(size=(steps, 6)))
    return common @ exp_se3(spread * generator.uniform(-1, 1, size=(count, steps, 6)))


@given(seed=st.integers(0, 1000), count=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_mean_rotation_is_a_rotation_from_which_all_differences_cancel(seed, count):
    candidates = poses(seed, count)
    weights = np.random.default_rng(seed).uniform(0.1, 1.0, size=(count, 4))
    mean = mean_transforms(candidates, weights)
    R = mean[:, :3, :3]
    assert R @ R.swapaxes(-1, -2) == pytest.approx(np.tile(np.eye(3), (4, 1, 1)), abs=1e-9)
    for step in range(4):
        turns = Rotation.from_matrix(R[step].T @ candidates[:, step, :3, :3]).as_rotvec()
        assert weights[:, step] @ turns == pytest.approx(np.zeros(3), abs=1e-7)
        expected = np.average(candidates[:, step, :3, 3], axis=0, weights=weights[:, step])
        assert mean[step, :3, 3] == pytest.approx(expected)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_mean_does_not_depend_on_the_frame_it_is_computed_in(seed):
    candidates, weights = poses(seed, 3), np.ones((3, 4))
    T = exp_se3(np.random.default_rng(seed + 1).normal(size=6))
    assert mean_transforms(T @ candidates, weights) == pytest.approx(T @ mean_transforms(candidates, weights), abs=1e-7)


def test_the_mean_of_two_turns_of_opposite_sign_is_no_turn():
    half = np.pi / 3
    candidates = exp_se3(np.array([[[0, 0, 0, 0, 0, half]], [[0, 0, 0, 0, 0, -half]]]))
    assert mean_transforms(candidates, np.ones((2, 1)))[0] == pytest.approx(np.eye(4), abs=1e-9)


def line(offset_m, stamp_ns, steps=5):
    times_ns = stamp_ns + DT_NS * np.arange(1, steps + 1, dtype=np.int64)
    twists = np.zeros((steps, 6))
    twists[:, 0] = offset_m
    return stamp_ns, times_ns, exp_se3(twists)


def test_a_chunk_counts_only_where_it_has_steps_and_only_while_it_is_young():
    ensemble = PoseEnsemble(memory_ns=3 * DT_NS, decay=0.0)
    ensemble.add(*line(9.0, -5 * DT_NS, steps=30))
    ensemble.add(*line(0.0, 0))
    mean = ensemble.average(*line(1.0, 2 * DT_NS))[:, 0, 3]
    assert mean == pytest.approx([0.5, 0.5, 0.5, 1.0, 1.0])


def test_older_chunks_weigh_more_by_the_decay():
    ensemble = PoseEnsemble(memory_ns=10 * DT_NS, decay=np.log(2.0))
    ensemble.add(*line(0.0, 0))
    mean = ensemble.average(*line(0.9, 2 * DT_NS))[0, 0, 3]
    assert mean == pytest.approx(0.9 * 0.5 / 1.5)


def test_nothing_remembered_changes_nothing():
    stamp_ns, times_ns, Ts = line(0.3, 0)
    ensemble = PoseEnsemble(memory_ns=DT_NS, decay=0.0)
    ensemble.add(stamp_ns - 1, times_ns, Ts)
    ensemble.clear()
    assert ensemble.average(stamp_ns, times_ns, Ts) is Ts
