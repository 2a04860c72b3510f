import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import ArmSpec, load_embodiment
from vla3d_ros.adapter.interface_specs import (
    FeedbackInterface,
    Float64ArrayInterface,
    ForwardPositionInterface,
    JointStateFingerInterface,
    JointStateInterface,
    JointTrajectoryInterface,
    PoseTargetInterface,
)
from vla3d_ros.adapter.interfaces.arm_speaker import ArmSpeaker
from vla3d_ros.adapter.interfaces.feedback import FeedbackNames
from vla3d_ros.adapter.interfaces.messages import (
    ArrayMessage,
    GripperGoal,
    JointStateMessage,
    PoseMessage,
    TrajectoryMessage,
)
from vla3d_ros.adapter.interfaces.state_merge import StateMerger, merged_joints
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.trajectory import Reference, sample, stop_trajectory
from vla3d_ros.datatypes import JointTrajectory, RobotState
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform

ROBOTS = Path(__file__).parents[2] / "config" / "robots"
MS = 1_000_000
START = 5_000_000_000


@pytest.fixture(scope="module")
def robot():
    return load_embodiment(ROBOTS / "ur5e.yaml")


@pytest.fixture(scope="module")
def ur5e(robot) -> ArmSpec:
    return robot.arms[0]


@pytest.fixture(scope="module")
def piper():
    return load_embodiment(ROBOTS / "piper.yaml")


def ramp(arm: ArmSpec, seconds: float = 1.0, reach_rad: float = 0.2) -> JointTrajectory:
    """Every joint moves by `reach_rad`, from rest to rest."""
    s = np.linspace(0.0, 1.0, 11)[:, None]
    q = arm.q_home + reach_rad * (3 * s**2 - 2 * s**3)
    dq = np.repeat(reach_rad * (6 * s - 6 * s**2) / seconds, len(arm.joint_names), axis=1)
    times_ns = START + (s[:, 0] * seconds * 1e9).astype(np.int64)
    return JointTrajectory(arm=arm.name, joint_names=arm.joint_names, times_ns=times_ns, q=q, dq=dq)


def streaming(arm: ArmSpec, **interface) -> ArmSpec:
    return replace(
        arm, command=ForwardPositionInterface(topic="c/commands", controller="c", rate_hz=100.0, **interface)
    )


# ------------------------------------------------------------------------------------- trajectory controllers


def test_a_trajectory_goes_out_whole_under_the_drivers_joint_names(robot, ur5e):
    wire = tuple(f"left_{name}" for name in ur5e.joint_names)
    arm = replace(
        ur5e, command=JointTrajectoryInterface(topic="jtc/joint_trajectory", controller="jtc", wire_names=wire)
    )
    speaker = ArmSpeaker(arm, robot.urdf_path)
    (message,) = speaker.follow(ramp(arm))
    assert isinstance(message, TrajectoryMessage)
    assert message.trajectory.joint_names == wire
    np.testing.assert_array_equal(message.trajectory.q, ramp(arm).q)
    assert speaker.tick(START) == ()


# ------------------------------------------------------------------------------------------------- setpoints


def test_a_stream_is_silent_until_it_is_given_a_trajectory(robot, ur5e):
    assert ArmSpeaker(streaming(ur5e), robot.urdf_path).tick(START) == ()


def test_setpoints_lie_on_the_trajectory_at_the_time_they_are_asked_for(robot, ur5e):
    speaker, path = ArmSpeaker(streaming(ur5e), robot.urdf_path), ramp(ur5e)
    assert speaker.follow(path) == ()
    for now_ns in range(START, START + 1_000_000_000, 7 * MS):
        (message,) = speaker.tick(now_ns)
        assert isinstance(message, ArrayMessage) and message.topic == "c/commands"
        np.testing.assert_allclose(message.values, sample(path, now_ns)[0], atol=1e-12)


def test_the_last_setpoint_is_held_for_a_second_and_then_left_to_the_driver(robot, ur5e):
    speaker, path = ArmSpeaker(streaming(ur5e), robot.urdf_path), ramp(ur5e)
    speaker.follow(path)
    for late_ms in (1, 500, 999):
        (message,) = speaker.tick(int(path.times_ns[-1]) + late_ms * MS)
        np.testing.assert_array_equal(message.values, path.q[-1])
    assert speaker.tick(int(path.times_ns[-1]) + 1001 * MS) == ()


def test_a_stop_is_in_the_very_next_setpoint(robot, ur5e):
    speaker, path = ArmSpeaker(streaming(ur5e), robot.urdf_path), ramp(ur5e)
    speaker.follow(path)
    now_ns = START + 500 * MS
    q, dq = sample(path, now_ns)
    reference = Reference(stamp_ns=now_ns, q=q, dq=dq, ddq=np.zeros_like(q))
    stop = stop_trajectory(ur5e.name, reference, ur5e.limits)
    speaker.follow(stop)
    for later_ns in range(now_ns, now_ns + 300 * MS, 10 * MS):
        (message,) = speaker.tick(later_ns)
        np.testing.assert_allclose(message.values, sample(stop, later_ns)[0], atol=1e-12)
    assert message.values == pytest.approx(stop.q[-1])
    assert abs(stop.q[-1] - q).max() < abs(path.q[-1] - q).max()


def test_steps_between_setpoints_respect_the_velocity_limits(robot, ur5e):
    speaker = ArmSpeaker(streaming(ur5e), robot.urdf_path)
    speaker.follow(ramp(ur5e, seconds=0.5))
    stream = [speaker.tick(START + k * 10 * MS)[0].values for k in range(60)]
    assert np.abs(np.diff(stream, axis=0)).max() <= 0.01 * ur5e.limits.velocity.max()


# ------------------------------------------------------------------------------------- joint states as commands


def test_a_joint_state_command_names_every_joint_and_leaves_velocity_and_effort_empty(piper):
    arm = piper.arms[0]
    speaker = ArmSpeaker(arm, piper.urdf_path)
    speaker.notice_opening(0.3)
    speaker.follow(ramp(arm))
    (message,) = speaker.tick(START)
    assert isinstance(message, JointStateMessage)
    assert (message.names, message.velocities, message.efforts) == (arm.command.wire_names, (), ())
    assert len(message.positions) == len(arm.joint_names)


def test_a_gripper_on_a_topic_of_its_own_is_sent_in_metres_with_its_force_and_without_the_arm(piper):
    speaker = ArmSpeaker(piper.arms[0], piper.urdf_path)
    (message,) = speaker.set_opening(0.5, START)
    assert isinstance(message, JointStateMessage)
    assert (message.topic, message.names) == ("control/joint_states", ("gripper",))
    assert message.positions == pytest.approx((0.035,)) and message.efforts == (3.0,)


def riding(arm: ArmSpec, speed_percent: float | None) -> ArmSpec:
    command = JointStateInterface(
        topic="joint_ctrl", rate_hz=50.0, speed_percent=speed_percent, wire_names=arm.joint_names
    )
    finger = JointStateFingerInterface(topic="joint_ctrl", joint_name="gripper")
    return replace(arm, command=command, gripper=replace(arm.gripper, command=finger))


def test_a_gripper_that_rides_along_is_the_last_entry_and_carries_speed_and_force(piper):
    arm = riding(piper.arms[0], 40.0)
    speaker = ArmSpeaker(arm, piper.urdf_path)
    speaker.notice_opening(1.0)
    speaker.follow(ramp(arm))
    assert speaker.set_opening(0.0, START) == ()
    (message,) = speaker.tick(START)
    assert message.names == (*arm.joint_names, "gripper")
    assert (message.positions[-1], message.velocities[-1], message.efforts[-1]) == (0.0, 40.0, 3.0)
    assert len(message.velocities) == len(message.efforts) == len(message.positions) == 7


def test_a_gripper_that_rides_along_is_held_where_it_is_until_it_is_told_otherwise(piper):
    arm = riding(piper.arms[0], 40.0)
    speaker = ArmSpeaker(arm, piper.urdf_path)
    speaker.notice_opening(0.6)
    speaker.notice_opening(0.1)  # measured later, perhaps moving: the first is what it is held at
    speaker.follow(ramp(arm))
    assert speaker.tick(START)[0].positions[-1] == pytest.approx(0.6 * 0.07)


def test_without_a_speed_in_the_message_the_arms_own_entries_stay_without_a_value(piper):
    arm = riding(piper.arms[0], None)
    speaker = ArmSpeaker(arm, piper.urdf_path)
    speaker.set_opening(1.0, START)
    speaker.follow(ramp(arm))
    (message,) = speaker.tick(START)
    assert message.velocities == () and all(math.isnan(effort) for effort in message.efforts[:6])


# ----------------------------------------------------------------------------------------------- pose targets


def test_a_pose_target_is_the_pose_of_the_tip_in_the_named_frame(piper):
    arm = piper.arms[0]
    command = PoseTargetInterface(topic="target_pose", rate_hz=50.0, frame="base_link", tip="tcp", frame_id="base")
    arm = replace(arm, command=command)
    speaker = ArmSpeaker(arm, piper.urdf_path)
    speaker.follow(ramp(arm, reach_rad=0.01))
    (message,) = speaker.tick(START)
    assert isinstance(message, PoseMessage) and message.frame_id == "base"
    links = ArmKinematics(piper.urdf_path, arm).place_links(arm.q_home[None])
    T_table_base, T_table_tip = Transform(links["base_link"][0].copy()), Transform(links["tcp"][0].copy())
    np.testing.assert_allclose((T_table_base @ message.T_frame_tip).matrix, T_table_tip.matrix, atol=1e-9)


# --------------------------------------------------------------------------------------------------- grippers


def test_gripper_goals_are_in_the_drivers_own_measure(robot, ur5e):
    speaker = ArmSpeaker(ur5e, robot.urdf_path)
    (goal,) = speaker.set_opening(1.0, START)
    assert isinstance(goal, GripperGoal)
    assert (goal.action, goal.kind) == ("robotiq_gripper_controller/gripper_cmd", "gripper_command")
    assert (goal.position, goal.max_effort_n) == (0.0, 50.0)  # a crank: zero is open


def test_gripper_targets_in_quick_succession_wait_and_only_the_newest_is_sent(robot, ur5e):
    speaker = ArmSpeaker(ur5e, robot.urdf_path)
    assert len(speaker.set_opening(1.0, START)) == 1
    assert speaker.set_opening(0.5, START + 20 * MS) == ()
    assert speaker.set_opening(0.0, START + 40 * MS) == ()
    assert speaker.tick(START + 80 * MS) == ()
    (goal,) = speaker.tick(START + 100 * MS)
    assert goal.position == pytest.approx(0.8)
    assert speaker.tick(START + 300 * MS) == ()


def test_a_clock_that_ran_backwards_does_not_silence_the_gripper(robot, ur5e):
    speaker = ArmSpeaker(ur5e, robot.urdf_path)
    speaker.set_opening(1.0, START)
    assert len(speaker.set_opening(0.0, START - 1000 * MS)) == 1


def test_an_array_gripper_gets_its_position_once_per_finger(robot, ur5e):
    gripper = replace(ur5e.gripper, command=Float64ArrayInterface(topic="fingers/commands", count=2))
    speaker = ArmSpeaker(replace(ur5e, gripper=gripper), robot.urdf_path)
    (message,) = speaker.set_opening(0.0, START)
    assert message.values == pytest.approx((0.8, 0.8))
    assert speaker.topics["fingers/commands"] is ArrayMessage


# --------------------------------------------------------------------------------------------------- feedback


def test_names_of_two_drivers_are_told_apart_by_their_topics():
    robot = load_embodiment(ROBOTS / "dual_piper.yaml")
    names = FeedbackNames(robot.arms)
    assert names.topics == ("left/feedback/joint_states", "right/feedback/joint_states")
    assert names.needs_merging
    assert names.urdf_names("left/feedback/joint_states", ["joint2", "gripper", "odd"]) == (
        "left_joint2", "left_gripper", "odd",
    )  # fmt: skip


def test_the_joints_of_a_driver_outside_our_namespace_are_repeated_inside_it(ur5e):
    feedback = replace(ur5e.feedback, topic="/joint_states", gripper_topic="/joint_states")
    names = FeedbackNames([replace(ur5e, feedback=feedback)])
    assert names.topics == ("/joint_states",) and names.needs_merging


def test_foreign_names_where_the_graph_expects_the_urdfs_are_refused(ur5e):
    feedback = FeedbackInterface(
        topic="joint_states",
        wire_names=tuple(f"tf_{name}" for name in ur5e.joint_names),
        gripper_topic="joint_states",
        gripper_wire_names=ur5e.gripper.joint_names,
    )
    with pytest.raises(ConfigError, match="remap the driver"):
        FeedbackNames([replace(ur5e, feedback=feedback)])


def state(arm: ArmSpec, stamp_ns: int, opening: float = 0.5) -> RobotState:
    return RobotState(
        arm=arm.name,
        stamp_ns=stamp_ns,
        joint_names=arm.joint_names,
        q=arm.q_home.copy(),
        dq=np.zeros(len(arm.joint_names)),
        T_base_ee=Transform.identity(),
        gripper_opening=opening,
    )


def test_states_of_two_arms_are_shown_together_at_the_newest_instant_known_of_both():
    left, right = load_embodiment(ROBOTS / "dual_piper.yaml").arms
    asked = []

    def at(arm: str, stamp_ns: int) -> RobotState:
        asked.append((arm, stamp_ns))
        return state(left, stamp_ns)

    merger = StateMerger(["left", "right"], at)
    assert merger.add([state(left, START)]) == ()
    assert merger.add([state(left, START + 5)]) == ()
    merged = merger.add([state(right, START + 3)])
    assert [(s.arm, s.stamp_ns) for s in merged] == [("left", START + 3), ("right", START + 3)]
    assert asked == [("left", START + 3)]
    assert merger.add([state(right, START + 9)]) == ()


def test_merged_joints_show_grippers_as_their_drivers_count():
    arms = load_embodiment(ROBOTS / "dual_piper.yaml").arms
    names, q, dq = merged_joints(arms, [state(arm, START, 0.25) for arm in arms])
    by_name = dict(zip(names, q, strict=True))
    assert by_name["left_gripper"] == pytest.approx(0.0175)
    assert by_name["right_joint2"] == pytest.approx(arms[1].q_home[1])
    assert np.isnan(dq[list(names).index("left_gripper")]) and len(dq) == len(names)
