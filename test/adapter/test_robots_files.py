"""Robot files say how their drivers want to be spoken to, and contradictions are named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.interface_specs import (
    Float64ArrayInterface,
    ForwardPositionInterface,
    GripperActionInterface,
    JointStateFingerInterface,
    JointStateInterface,
    JointTrajectoryInterface,
    PoseTargetInterface,
)
from vla3d_ros.errors import ConfigError

ROOT = Path(__file__).parents[2]
ROBOTS = ROOT / "config" / "robots"


def load(robot):
    return load_embodiment(ROBOTS / f"{robot}.yaml")


@pytest.fixture
def edited(tmp_path):
    """Write a shipped robot's file with changes, beside the shipped URDFs, and return its path."""

    def write(robot, change):
        content = yaml.safe_load((ROBOTS / f"{robot}.yaml").read_text())
        change(content)
        shutil.copytree(ROOT / "urdf", tmp_path / "urdf", dirs_exist_ok=True)
        path = tmp_path / "config" / "robots" / f"{robot}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_trajectory_robots_name_topic_and_controller():
    command = load("xarm7").arms[0].command
    assert isinstance(command, JointTrajectoryInterface)
    assert command.topic == f"{command.controller}/joint_trajectory"


def test_streaming_robots_name_all_joints_and_a_rate():
    command = load("piper").arms[0].command
    assert isinstance(command, JointStateInterface)
    assert command.wire_names == tuple(f"joint{i}" for i in range(1, 7))
    assert command.rate_hz == 100.0 and command.speed_percent is None


def test_old_driver_takes_speed_and_gripper_in_the_arms_message():
    arm = load("piper_before_v163").arms[0]
    assert isinstance(arm.command, JointStateInterface) and isinstance(arm.gripper.command, JointStateFingerInterface)
    assert arm.command.speed_percent == 50.0
    assert arm.gripper.command.topic == arm.command.topic


def test_two_arms_keep_apart_what_their_drivers_call_by_the_same_names():
    left, right = load("dual_piper").arms
    assert left.command.wire_names == right.command.wire_names
    assert set(left.joint_names).isdisjoint(right.joint_names)
    assert left.feedback.topic != right.feedback.topic
    assert left.feedback.gripper_wire_names == ("gripper",) and left.gripper.joint_names == ("left_gripper",)


def test_forward_position_robot_has_arrays_for_arm_and_gripper():
    arm = load("generic_bimanual").arms[0]
    assert isinstance(arm.command, ForwardPositionInterface) and isinstance(arm.gripper.command, Float64ArrayInterface)
    assert arm.gripper.command.count == 2


def test_pose_target_defaults_to_the_arms_own_frames(edited):
    def to_poses(content):
        content["arms"][0]["command"] = {"type": "pose_target", "topic": "target_pose", "rate_hz": 50.0}

    command = load_embodiment(edited("fr3", to_poses)).arms[0].command
    assert command == PoseTargetInterface(
        topic="target_pose", rate_hz=50.0, frame="fr3_link0", tip="fr3_hand_tcp", frame_id="fr3_link0"
    )
    assert command.servo_switch is None


def test_a_pose_target_can_name_the_service_that_switches_moveit_servo(edited):
    def to_servo(content):
        content["arms"][0]["command"] = {
            "type": "pose_target", "topic": "servo_node/pose_target_cmds", "rate_hz": 100.0,
            "servo_switch": "servo_node/switch_command_type",
        }  # fmt: skip

    command = load_embodiment(edited("fr3", to_servo)).arms[0].command
    assert isinstance(command, PoseTargetInterface) and command.servo_switch == "servo_node/switch_command_type"


@pytest.mark.parametrize("robot", ["fr3", "piper", "ur5e", "xarm6"])
def test_gripper_positions_are_the_drivers_and_openings_are_ours(robot):
    gripper = load(robot).arms[0].gripper
    for opening in (0.0, 0.25, 1.0):
        assert gripper.opening(gripper.positions(opening)) == pytest.approx(opening)
        assert gripper.command_gap_m(gripper.command_position(opening)) == pytest.approx(opening * gripper.stroke_m)


def test_crank_driven_gripper_counts_backwards():
    gripper = load("ur5e").arms[0].gripper
    assert isinstance(gripper.command, GripperActionInterface)
    assert gripper.opening(np.array([0.0])) == 1.0 and gripper.opening(np.array([0.8])) == 0.0
    assert gripper.command_position(1.0) == 0.0


def test_unknown_command_types_are_refused_with_the_known_ones(edited):
    def change(content):
        content["arms"][0]["command"]["type"] = "telepathy"
        content["arms"][0]["gripper"]["command"]["type"] = "suction"

    with pytest.raises(ConfigError, match=r"(?s)suction.*gripper_command.*telepathy.*joint_trajectory"):
        load_embodiment(edited("fr3", change))


def test_keys_of_another_command_type_are_refused(edited):
    with pytest.raises(ConfigError, match=r"unknown key 'arms\[0\]\.command\.rate_hz'"):
        load_embodiment(edited("fr3", lambda content: content["arms"][0]["command"].update(rate_hz=10.0)))


def test_arms_in_different_base_frames_are_refused(edited):
    with pytest.raises(
        ConfigError, match=r"arm 'right' has base_frame 'right_base_link', arm 'left' has 'table_frame'"
    ):
        load_embodiment(edited("dual_piper", lambda c: c["arms"][1].update(base_frame="right_base_link")))


def test_arms_that_would_hear_each_other_are_refused(edited):
    def same_topic(content):
        content["arms"][1]["feedback"]["topic"] = content["arms"][0]["feedback"]["topic"]

    with pytest.raises(ConfigError, match="hear the same joint names"):
        load_embodiment(edited("dual_piper", same_topic))


def test_speed_percent_without_a_gripper_in_the_message_is_refused(edited):
    def apart(content):
        content["arms"][0]["gripper"]["command"]["topic"] = "somewhere_else"

    with pytest.raises(ConfigError, match="speed_percent travels in the gripper's entry"):
        load_embodiment(edited("piper_before_v163", apart))


def test_stroke_and_fingers_must_agree(edited):
    with pytest.raises(ConfigError, match=r"stroke_m is 0\.1, but the fingers of the URDF travel 0\.07 m"):
        load_embodiment(edited("piper", lambda content: content["arms"][0]["gripper"].update(stroke_m=0.1)))


@pytest.mark.parametrize("path", sorted(ROBOTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_robot_says_where_its_limits_come_from_and_has_all_of_them(path):
    robot = load_embodiment(path)
    assert len(robot.limits_source) > 20
    for arm in robot.arms:
        limits = arm.limits
        assert (limits.q_lower < arm.q_home).all() and (arm.q_home < limits.q_upper).all()
        assert (limits.acceleration > 0).all() and (limits.jerk > limits.acceleration).all()
