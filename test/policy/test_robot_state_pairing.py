"""The same robot states from the same messages, whichever came first."""

import numpy as np
import pytest

from vla3d_ros.geometry import Transform
from vla3d_ros.policy.robot_state_pairing import RobotStatePairing

MS = 1_000_000
JOINTS = {"left": ("a", "b"), "right": ("c",)}


def joints(stamp_ms, *, names=("a", "b", "c"), offset=0.0):
    q = np.array([stamp_ms * 0.01 + index + offset for index in range(len(names))])
    return ("joints", (names, q, 0.1 * q, stamp_ms * MS))


def ee(stamp_ms):
    pose = (Transform.from_rpy([stamp_ms * 1e-3, 0.0, 0.0], [0.0, 0.0, 0.0]), 0.5)
    return ("ee", (stamp_ms * MS, {"left": pose, "right": pose}))


def states_of(messages):
    pairing = RobotStatePairing(JOINTS)
    found = []
    for kind, arguments in messages:
        found += (pairing.add_joint_state if kind == "joints" else pairing.add_ee_state)(*arguments)
    return found


def bits(states):
    return sorted((s.arm, s.stamp_ns, s.q.tobytes(), s.dq.tobytes(), s.T_base_ee.matrix.tobytes()) for s in states)


def test_order_of_arrival_makes_no_difference():
    messages = [joints(5), ee(5), joints(10), ee(10), joints(15), ee(15)]
    orders = [messages, [*messages[::2], *messages[1::2]], [*messages[1::2], *messages[::2]]]
    assert len({tuple(bits(states_of(order))) for order in orders}) == 1
    assert len(states_of(messages)) == 6


def test_joints_are_those_of_the_same_stamp_and_not_the_newest():
    states = states_of([joints(5), joints(10), ee(5)])
    assert states[0].stamp_ns == 5 * MS
    np.testing.assert_array_equal(states[0].q, [0.05, 1.05])


def test_between_two_readings_joints_are_interpolated():
    states = states_of([joints(0), ee(4), joints(10)])
    np.testing.assert_allclose(states[0].q, [0.04, 1.04])
    np.testing.assert_allclose(states[0].dq, [0.004, 0.104])


def test_a_state_waits_until_all_joints_of_its_arm_are_known_then():
    pairing = RobotStatePairing(JOINTS)
    assert not pairing.add_joint_state(("a", "c"), np.array([1.0, 3.0]), np.zeros(2), 5 * MS)
    assert [state.arm for state in pairing.add_ee_state(*ee(5)[1])] == ["right"]
    assert [state.arm for state in pairing.add_joint_state(("b",), np.array([2.0]), np.zeros(1), 5 * MS)] == ["left"]


def test_a_pose_from_before_the_first_joint_state_is_left_out():
    assert {state.stamp_ns for state in states_of([ee(1), joints(5), ee(5)])} == {5 * MS}


@pytest.mark.parametrize("q", [float("nan"), float("inf")])
def test_a_joint_that_is_no_number_is_not_believed(q):
    pairing = RobotStatePairing({"left": ("a",)})
    pairing.add_joint_state(("a",), np.array([q]), np.zeros(1), 5 * MS)
    assert not pairing.add_ee_state(5 * MS, {"left": (Transform.identity(), 0.0)})
