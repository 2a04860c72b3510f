"""A leader arm through the joint states its driver would publish."""

import numpy as np
import pytest
from teleop_hands import CONFIG, settings_of

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.errors import ConfigError
from vla3d_ros.teleop.devices.leader import LeaderArm
from vla3d_ros.teleop.loading import load_device, load_keys


@pytest.fixture(scope="module")
def embodiment():
    return load_embodiment(CONFIG / "robots" / "fr3.yaml")


def heard(leader: LeaderArm, embodiment, q: np.ndarray, opening: float, now_s: float) -> None:
    arm = embodiment.arms[0]
    names = (*arm.joint_names, *arm.gripper.joint_names)
    leader.hear("joint_states", names, np.concatenate([q, arm.gripper.positions(opening)]), now_s)


def test_the_hand_is_where_the_leaders_tool_is(embodiment):
    leader, arm = LeaderArm(embodiment), embodiment.arms[0]
    heard(leader, embodiment, arm.q_home, 0.25, 5.0)
    (hand,) = leader.poll(5.1).hands
    expected = ArmKinematics(embodiment.urdf_path, arm).forward(arm.q_home)
    assert hand.T_device_hand.distance_to(expected) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert hand.opening == pytest.approx(0.25)
    assert hand.age_s == pytest.approx(0.1)


def test_names_may_come_in_any_order_and_with_strangers_among_them(embodiment):
    leader, arm = LeaderArm(embodiment), embodiment.arms[0]
    names = ["stranger", *reversed([*arm.joint_names, *arm.gripper.joint_names])]
    q = np.concatenate([[9.0], arm.gripper.positions(1.0)[::-1], arm.q_home[::-1]])
    leader.hear("joint_states", names, q, 1.0)
    assert leader.poll(1.0).hands[0].opening == pytest.approx(1.0)


def test_a_leader_that_was_never_heard_has_no_age_and_one_that_falls_silent_grows_old(embodiment):
    leader = LeaderArm(embodiment)
    assert leader.poll(0.0).hands[0].age_s == np.inf
    heard(leader, embodiment, embodiment.arms[0].q_home, 1.0, 0.0)
    assert leader.poll(3.0).hands[0].age_s == 3.0


def test_two_leading_arms_are_two_hands():
    embodiment = load_embodiment(CONFIG / "robots" / "generic_bimanual.yaml")
    assert len(LeaderArm(embodiment).poll(0.0).hands) == 2


def test_a_leader_may_be_another_robot_than_the_follower_and_needs_a_clutch_elsewhere():
    settings = settings_of("leader", options={"namespace": "/leader", "robot": "piper"})
    device = load_device(settings, load_keys(settings), CONFIG / "robots" / "fr3.yaml", "", lambda: 0.0)
    assert isinstance(device, LeaderArm)
    settings = settings_of("leader", clutch="device")
    with pytest.raises(ConfigError, match="has no clutch of its own here; set 'clutch: terminal'"):
        load_device(settings, load_keys(settings), CONFIG / "robots" / "fr3.yaml", "", lambda: 0.0)
