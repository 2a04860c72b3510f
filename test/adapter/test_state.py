"""Joint states are matched by name, may be partial and out of order, and are remembered for a while."""

import numpy as np
import pytest

from vla3d_ros.adapter.state import ArmStateEstimator
from vla3d_ros.errors import StaleObservationError

MS = 1_000_000


@pytest.fixture
def states(arm, kinematics):
    return ArmStateEstimator(arm, kinematics.forward, memory_ns=500 * MS)


def feed(states, arm, stamp_ns, q, fingers=(0.02, 0.02)):
    names = [*arm.gripper.joint_names, *reversed(arm.joint_names), "other_joint"]
    values = np.array([*fingers, *q[::-1], 9.0])
    return states.update(names, values, np.zeros(len(names)), stamp_ns)


def test_joints_are_matched_by_name_in_any_order(states, arm, kinematics):
    state = feed(states, arm, MS, arm.q_home)
    assert state.q == pytest.approx(arm.q_home)
    assert state.gripper_opening == pytest.approx(0.5)
    assert state.T_base_ee.distance_to(kinematics.forward(arm.q_home))[0] < 1e-12


def test_a_state_is_complete_only_when_every_joint_was_heard(states, arm):
    half = len(arm.joint_names) // 2
    first, second = arm.joint_names[:half], arm.joint_names[half:]
    assert states.update(arm.gripper.joint_names, np.zeros(2), np.zeros(2), MS) is None
    assert states.update(first, arm.q_home[:half], np.zeros(half), 2 * MS) is None
    assert states.missing == second
    state = states.update(second, arm.q_home[half:], np.zeros(len(second)), 3 * MS)
    assert state is not None and state.stamp_ns == 3 * MS


def test_older_readings_are_left_out(states, arm):
    feed(states, arm, 10 * MS, arm.q_home)
    assert feed(states, arm, 9 * MS, arm.q_home + 1.0) is None
    assert states.latest.q == pytest.approx(arm.q_home)


def test_missing_velocities_are_estimated_from_positions(states, arm):
    feed(states, arm, 0, arm.q_home)
    values = arm.q_home + 0.01
    state = states.update(arm.joint_names, values, np.full(len(values), np.nan), 10 * MS)
    assert state.dq == pytest.approx(np.full(len(values), 1.0))


def test_values_that_are_not_finite_do_not_enter(states, arm):
    q = arm.q_home.copy()
    q[2] = np.nan
    assert feed(states, arm, MS, q) is None
    assert states.missing == (arm.joint_names[2],)


def test_states_are_interpolated_between_readings(states, arm):
    feed(states, arm, 0, arm.q_home, fingers=(0.0, 0.0))
    feed(states, arm, 10 * MS, arm.q_home + 0.1, fingers=(0.04, 0.04))
    state = states.at(4 * MS)
    assert state.q == pytest.approx(arm.q_home + 0.04)
    assert state.gripper_opening == pytest.approx(0.4)


def test_asking_beyond_the_memory_says_by_how_much(states, arm):
    for stamp in range(0, 1000, 100):
        feed(states, arm, stamp * MS, arm.q_home)
    with pytest.raises(StaleObservationError, match=r"12\.0 ms after the newest"):
        states.at(912 * MS)
    with pytest.raises(StaleObservationError, match="before the oldest"):
        states.at(0)
