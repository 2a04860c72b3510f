"""Laws of trajectories: cubic sampling, braking inside limits, committed knots reproduce what was promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.adapter.trajectory import (
    Reference,
    committed_prefix,
    home_trajectory,
    join,
    reference_at,
    sample,
    stop_trajectory,
)
from vla3d_ros.datatypes import JointLimits, JointTrajectory

NAMES = ("a", "b", "c")
LIMITS = JointLimits(
    joint_names=NAMES,
    q_lower=np.full(3, -3.0),
    q_upper=np.full(3, 3.0),
    velocity=np.full(3, 2.0),
    acceleration=np.full(3, 10.0),
    jerk=np.full(3, 5000.0),
)
START_NS = 7_000_000_000

speeds = st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3).map(np.array)
accelerations = st.lists(st.floats(-8.0, 8.0), min_size=3, max_size=3).map(np.array)


def cubic_trajectory(seed=0, knots=8):
    """Knots on one cubic per joint: Hermite interpolation must return that cubic."""
    coefficients = np.random.default_rng(seed).normal(size=(4, 3))
    t = np.linspace(0.0, 0.7, knots)[:, None]
    times_ns = START_NS + np.round(t[:, 0] * 1e9).astype(np.int64)
    q, dq = cubic(coefficients, (times_ns - START_NS) * 1e-9)
    return coefficients, JointTrajectory(arm="x", joint_names=NAMES, times_ns=times_ns, q=q, dq=dq)


def cubic(coefficients, t):
    powers = t[:, None] ** np.arange(4)
    return powers @ coefficients, np.arange(1, 4) * powers[:, :3] @ coefficients[1:]


def dense(trajectory, count=2000):
    times_ns = np.linspace(trajectory.times_ns[0], trajectory.times_ns[-1], count).astype(np.int64)
    return times_ns, *sample(trajectory, times_ns)


def test_sampling_reproduces_a_cubic_between_the_knots():
    coefficients, trajectory = cubic_trajectory()
    times_ns = np.arange(trajectory.times_ns[0], trajectory.times_ns[-1], 1_234_567)
    q, dq = sample(trajectory, times_ns)
    expected_q, expected_dq = cubic(coefficients, (times_ns - START_NS) * 1e-9)
    assert q == pytest.approx(expected_q, abs=1e-9)
    assert dq == pytest.approx(expected_dq, abs=1e-7)


def test_sampling_holds_the_ends():
    _, trajectory = cubic_trajectory()
    for outside_ns, knot in ((START_NS - 1, 0), (int(trajectory.times_ns[-1]) + 1, -1)):
        q, dq = sample(trajectory, outside_ns)
        assert q == pytest.approx(trajectory.q[knot]) and not dq.any()


@given(now=st.integers(0, 400_000_000), lead=st.integers(100_000, 200_000_000))
@settings(max_examples=50, deadline=None)
def test_committed_knots_reproduce_the_old_trajectory(now, lead):
    _, old = cubic_trajectory()
    now_ns, until_ns = START_NS + now, START_NS + now + lead
    times_ns, q, dq = committed_prefix(old, now_ns, until_ns)
    new = JointTrajectory(arm="x", joint_names=NAMES, times_ns=times_ns, q=q, dq=dq)
    assert times_ns[0] <= now_ns and times_ns[-1] == until_ns
    query_ns = np.linspace(now_ns, until_ns, 50).astype(np.int64)
    for then, again in zip(sample(old, query_ns), sample(new, query_ns), strict=True):
        assert again == pytest.approx(then, abs=1e-9)


@given(dq=speeds, ddq=accelerations)
@settings(max_examples=100, deadline=None)
def test_braking_stays_inside_the_limits_and_ends_at_rest_in_a_tenth_of_a_second(dq, ddq):
    start = Reference(stamp_ns=START_NS, q=np.zeros(3), dq=dq, ddq=ddq)
    trajectory = stop_trajectory("x", start, LIMITS)
    times_ns, q, velocity = dense(trajectory)
    step_s = np.diff(times_ns)[:, None] * 1e-9
    assert q[0] == pytest.approx(start.q) and velocity[0] == pytest.approx(dq)
    assert not trajectory.dq[-1].any()
    assert np.abs(np.diff(velocity, axis=0) / step_s).max() <= 10.0 * 1.01
    # 1 rad/s at 10 rad/s^2 takes 100 ms; jerk-limited ramps, and an acceleration that is still going on, add a few.
    assert trajectory.times_ns[-1] - START_NS <= 108_000_000
    assert np.abs(q[-1]).max() <= 0.06


def test_braking_from_nine_tenths_of_a_radian_per_second_takes_less_than_100_ms():
    start = Reference(stamp_ns=START_NS, q=np.zeros(3), dq=np.array([0.9, -0.9, 0.4]), ddq=np.zeros(3))
    assert stop_trajectory("x", start, LIMITS).times_ns[-1] - START_NS < 95_000_000


def test_braking_from_rest_stays_put():
    start = Reference(stamp_ns=START_NS, q=np.ones(3), dq=np.zeros(3), ddq=np.zeros(3))
    assert np.ptp(stop_trajectory("x", start, LIMITS).q, axis=0).max() == 0.0


@given(target=st.lists(st.floats(-2.5, 2.5), min_size=3, max_size=3), share=st.floats(0.1, 1.0))
@settings(max_examples=50, deadline=None)
def test_going_home_respects_the_share_of_the_limits_and_arrives(target, share):
    goal = np.array(target)
    trajectory = home_trajectory("x", np.zeros(3), goal, START_NS, LIMITS, share)
    times_ns, q, dq = dense(trajectory)
    assert q[-1] == pytest.approx(goal) and not trajectory.dq[[0, -1]].any()
    assert np.abs(dq).max() <= 2.0 * share * 1.001
    acceleration = np.diff(dq, axis=0) / (np.diff(times_ns)[:, None] * 1e-9)
    assert np.abs(acceleration).max() <= 10.0 * share * 1.05


def test_join_continues_a_commitment_with_a_new_trajectory():
    _, old = cubic_trajectory()
    until_ns = START_NS + 200_000_000
    joined = join(
        committed_prefix(old, START_NS + 90_000_000, until_ns),
        stop_trajectory("x", reference_at(old, until_ns), LIMITS),
    )
    assert (np.diff(joined.times_ns) > 0).all()
    for instant_ns in (START_NS + 100_000_000, until_ns):
        for then, again in zip(sample(old, instant_ns), sample(joined, instant_ns), strict=True):
            assert again == pytest.approx(then, abs=1e-9)
