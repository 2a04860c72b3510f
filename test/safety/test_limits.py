"""Limits are checked on the curve between the knots, and every reason names joint, value and limit."""

import numpy as np
import pytest

from vla3d_ros.datatypes import JointLimits, JointTrajectory, VelocityEnvelope
from vla3d_ros.safety.limits import check_jerk, check_joint_limits

LIMITS = JointLimits(
    joint_names=("a", "b"),
    q_lower=np.array([-1.0, -2.0]),
    q_upper=np.array([1.0, 2.0]),
    velocity=np.array([1.0, 2.0]),
    acceleration=np.array([10.0, 10.0]),
    jerk=np.array([1000.0, 1000.0]),
    envelope=VelocityEnvelope(
        offset=np.array([0.1, 0.1]),
        gain=np.array([4.0, 4.0]),
        q_stop_lower=np.array([-1.01, -2.01]),
        q_stop_upper=np.array([1.01, 2.01]),
    ),
)


def trajectory(q, dq, step_s=0.1):
    q, dq = np.array(q, dtype=float), np.array(dq, dtype=float)
    times_ns = np.arange(len(q), dtype=np.int64) * int(step_s * 1e9)
    return JointTrajectory(arm="x", joint_names=("a", "b"), times_ns=times_ns, q=q, dq=dq)


def checks(*args, **kwargs):
    return {reason.check: reason.message for reason in check_joint_limits(trajectory(*args, **kwargs), LIMITS)}


def test_a_trajectory_inside_the_limits_passes():
    assert checks([[0, 0], [0.04, 0], [0.08, 0]], [[0.4, 0], [0.4, 0], [0.4, 0]]) == {}


def test_position_violation_names_joint_value_and_range():
    message = checks([[0, 2.05], [0, 2.05]], [[0, 0], [0, 0]])["joint_position"]
    assert "'b'" in message and "2.0500" in message and "[-2.0000, 2.0000]" in message


def test_position_is_checked_between_the_knots():
    assert "joint_position" in checks([[0.99, 0], [0.99, 0]], [[0.9, 0], [-0.9, 0]], step_s=0.2)


def test_velocity_is_checked_between_the_knots():
    assert "1.500 rad/s" in checks([[0, 0], [0.1, 0]], [[0, 0], [0, 0]])["joint_velocity"]


def test_velocity_limit_shrinks_near_the_end_of_the_range():
    steady = {"dq": [[0.5, 0], [0.5, 0]], "step_s": 0.01}
    assert checks([[0.0, 0], [0.005, 0]], **steady) == {}
    assert "joint_velocity" in checks([[0.99, 0], [0.995, 0]], **steady)


def test_acceleration_violation_names_both_values():
    message = checks([[0, 0], [0.02, 0]], [[0.0, 0], [0.4, 0]], step_s=0.02)["joint_acceleration"]
    assert "allowed 10.00 rad/s^2" in message


def test_all_kinds_of_violation_are_reported_together():
    assert set(checks([[0, 0], [3, 0]], [[0, 0], [0, 0]])) == {
        "joint_position",
        "joint_velocity",
        "joint_acceleration",
    }


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_limits_hold_in_both_directions(sign):
    assert "joint_position" in checks([[sign * 1.01, 0], [sign * 1.01, 0]], [[0, 0], [0, 0]])


def jerk(q, dq, step_s=0.1, window_s=0.02, limit=100.0):
    limits = JointLimits(
        joint_names=("a", "b"),
        q_lower=LIMITS.q_lower,
        q_upper=LIMITS.q_upper,
        velocity=LIMITS.velocity,
        acceleration=LIMITS.acceleration,
        jerk=np.full(2, limit),
    )
    return [reason.message for reason in check_jerk(trajectory(q, dq, step_s), limits, window_s)]


def test_steady_motion_has_no_jerk():
    assert jerk([[0, 0], [0.04, 0], [0.08, 0]], [[0.4, 0]] * 2 + [[0.4, 0]], window_s=0.0) == []
    assert jerk([[0.1, 0]] * 3, [[0, 0]] * 3) == []


def test_jerk_is_the_change_of_acceleration_over_the_window_and_names_the_joint():
    # from rest to rest in 0.1 s: accelerations +-6 * 0.01 / 0.1^2 = +-6 rad/s^2, steps of it at both ends
    (message,) = jerk([[0, 0.0], [0, 0.01]], [[0, 0], [0, 0]])
    assert "joint 'b' would jerk with" in message and "over 20 ms, allowed 100 rad/s^3" in message
    assert jerk([[0, 0.0], [0, 0.01]], [[0, 0], [0, 0]], limit=400.0) == []
