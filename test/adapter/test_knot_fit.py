"""Fitted knots follow the policy, keep to limits, never pass the last target, and say when they had to slow down."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.adapter.knot_fit import fit_knots
from vla3d_ros.adapter.trajectory import Reference, reference_at, sample
from vla3d_ros.datatypes import JointLimits, JointTrajectory

DT_S = 1 / 30
KNOTS = 35
LIMITS = JointLimits(
    joint_names=("a",),
    q_lower=np.array([-3.0]),
    q_upper=np.array([3.0]),
    velocity=np.array([1.0]),
    acceleration=np.array([7.0]),
    jerk=np.array([5000.0]),
)
TIMES_S = DT_S * np.arange(1, 29) - 0.01


def start(dq=0.0, ddq=0.0):
    return Reference(stamp_ns=0, q=np.zeros(1), dq=np.array([dq]), ddq=np.array([ddq]))


def fit(speed, initial=None):
    return fit_knots(TIMES_S, speed * TIMES_S[:, None], initial or start(speed), DT_S, KNOTS, LIMITS)


def as_trajectory(knots, initial):
    times_ns = np.round(1e9 * DT_S * np.arange(len(knots.q) + 1)).astype(np.int64)
    q, dq = np.vstack([initial.q, knots.q]), np.vstack([initial.dq, knots.dq])
    return JointTrajectory(arm="x", joint_names=("a",), times_ns=times_ns, q=q, dq=dq)


def test_a_feasible_chunk_is_followed_as_asked_until_it_brakes_for_its_end():
    knots = fit(0.5)
    cruise = slice(0, 20)
    asked = 0.5 * DT_S * np.arange(1, KNOTS + 1)[:, None]
    assert knots.slowdown == 1.0 and knots.load <= 1.0
    assert knots.q[cruise] == pytest.approx(asked[cruise], abs=1e-3)


def test_the_last_target_is_reached_at_rest_and_not_passed():
    knots = fit(0.5)
    assert knots.q.max() <= 0.5 * TIMES_S[-1] + 1e-3
    assert knots.q[-1, 0] == pytest.approx(0.5 * TIMES_S[-1], abs=2e-3)
    assert not knots.dq[-1].any()


def test_a_chunk_above_the_velocity_limit_is_slowed_down_and_says_why():
    knots = fit(1.6, start(0.9))
    assert knots.slowdown > 1.5 and knots.load <= 1.0
    assert knots.limiting in ("velocity of a", "acceleration of a")
    assert np.abs(knots.dq).max() <= 1.0


@given(
    dq=st.floats(-0.9, 0.9),
    ddq=st.floats(-5.0, 5.0),
    drift=st.floats(-0.8, 0.8),
    noise=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_an_accepted_fit_starts_seamlessly_and_stays_inside_the_limits(dq, ddq, drift, noise):
    jitter = 2e-3 * np.random.default_rng(noise).normal(size=(len(TIMES_S), 1))
    initial = start(dq, ddq)
    knots = fit_knots(TIMES_S, drift * TIMES_S[:, None] + jitter, initial, DT_S, KNOTS, LIMITS)
    if knots.load > 1.0:
        return
    trajectory = as_trajectory(knots, initial)
    just_after = reference_at(trajectory, 1)
    assert just_after.dq == pytest.approx(initial.dq, abs=1e-6)
    assert just_after.ddq == pytest.approx(initial.ddq, abs=1e-4)
    times_ns = np.linspace(0, trajectory.times_ns[-1], 3000).astype(np.int64)
    _, velocity = sample(trajectory, times_ns)
    acceleration = np.diff(velocity, axis=0) / (np.diff(times_ns)[:, None] * 1e-9)
    assert np.abs(velocity).max() <= 1.0 + 1e-2
    assert np.abs(acceleration).max() <= 7.0 + 1e-2


def test_an_impossible_chunk_is_reported_by_its_load():
    assert fit_knots(TIMES_S, np.zeros((len(TIMES_S), 1)), start(1.0), DT_S, KNOTS, LIMITS).load > 1.0
