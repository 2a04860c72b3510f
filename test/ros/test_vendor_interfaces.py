"""The adapter's side of every vendor interface against the twin's side, over real topics, actions and services."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python")
pytest.importorskip("mujoco", reason="the twin needs MuJoCo")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import Empty, SetBool
from waiting import WaitedInVainError

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.interface_specs import (
    Float64ArrayInterface,
    ForwardPositionInterface,
    GripperActionInterface,
    PoseTargetInterface,
)
from vla3d_ros.adapter.trajectory import home_trajectory
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.errors import ConfigError
from vla3d_ros.ros import arm_interfaces, qos
from vla3d_ros.ros.arm_interfaces import ArmLink
from vla3d_ros.ros.persistent_client import PersistentClient, ask_again
from vla3d_ros.ros.twin_arms import TwinArm, TwinFeedback
from vla3d_ros.twin.scene import load_scene
from vla3d_ros.twin.world import TwinWorld

pytestmark = pytest.mark.ros

CONFIG = Path(__file__).parents[2] / "config"
WALL_TICKS = 4000


class Bench:
    """A world behind `TwinArm`s, an `ArmLink` per arm before it, and one executor for both.

    With a namespace, the drivers stay where they are and the links speak to them from a node inside the namespace.
    """

    def __init__(self, robot: str, changes=lambda arm: arm, namespace: str = "", ours=lambda arm: arm) -> None:
        embodiment = load_embodiment(CONFIG / "robots" / f"{robot}.yaml")
        self.robot = replace(embodiment, arms=tuple(changes(arm) for arm in embodiment.arms))
        scene = load_scene(CONFIG / "scenes" / "small_tabletop.yaml")
        self.world = TwinWorld(self.robot, load_rig(CONFIG / "cameras" / f"{robot}_tabletop_twin.yaml"), scene)
        self.node = rclpy.create_node(f"bench_{robot}", parameter_overrides=[Parameter("use_sim_time", value=False)])
        self.twins = [
            TwinArm(self.node, arm, self.world, lambda function: function(self.world)) for arm in self.robot.arms
        ]
        self.feedback = TwinFeedback(self.node, self.robot.arms)
        urdf = self.robot.urdf_path
        self.ours = rclpy.create_node(f"ours_{robot}", namespace=namespace)
        self.links = {
            arm.name: ArmLink(self.ours, ours(arm), urdf, lambda: self.world.time_ns) for arm in self.robot.arms
        }
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.ours)
        self.heard: list[JointState] = []

    def listen(self, topic: str) -> None:
        self.node.create_subscription(JointState, topic, self.heard.append, qos.SENSOR)

    def run(self, seconds: float) -> None:
        """Let the world and the graph advance together, in steps of 10 ms of the world."""
        end_ns = self.world.time_ns + int(seconds * 1e9)
        while self.world.time_ns < end_ns:
            for _ in range(5):
                self.world.step()
            self.feedback.publish(self.world.joint_state())
            for twin in self.twins:
                twin.answer()
            self.spin()

    def spin(self, times: int = 8) -> None:
        for _ in range(times):
            self.executor.spin_once(timeout_sec=0.002)

    def until(self, is_so, what: str) -> None:
        for _ in range(WALL_TICKS):
            if is_so():
                return
            self.run(0.01)
        raise WaitedInVainError(f"never came: {what}")

    def move(self, arm, offset_rad: float):
        """Send every arm joint by an offset, through the link; returns where it should end."""
        goal = arm.q_home + offset_rad
        start_ns = self.world.time_ns + 50_000_000
        path = home_trajectory(arm.name, arm.q_home, goal, start_ns, arm.limits, 0.3)
        self.links[arm.name].follow(path)
        self.run((int(path.times_ns[-1]) - self.world.time_ns) * 1e-9 + 0.3)
        return goal

    def q(self, arm) -> np.ndarray:
        sample = self.world.joint_state()
        by_name = dict(zip(sample.names, sample.q, strict=True))
        return np.array([by_name[name] for name in arm.joint_names])

    def call(self, kind, name: str, request):
        client = PersistentClient(self.node, kind, name)
        self.until(lambda: client.is_ready, f"the service {name}")
        question = client.ask(request, on_silence=ask_again)
        self.until(lambda: question.is_over, f"answer of {name}")
        return question.result()

    def hand_is_served(self) -> bool:
        return bool(self.node.count_publishers("/robotiq_gripper_controller/gripper_cmd/_action/status"))

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.ours.destroy_node()


@pytest.fixture
def bench(ros_context):
    made = []

    def make(robot: str, *given, **named) -> Bench:
        made.append(Bench(robot, *given, **named))
        made[-1].run(0.05)
        return made[-1]

    yield make
    for each in made:
        each.close()


def forward(arm):
    interface = ForwardPositionInterface(topic="forward/commands", controller="forward", rate_hz=100.0)
    return replace(arm, command=interface)


@pytest.mark.parametrize(
    ("robot", "changes"),
    [
        ("ur5e", lambda arm: arm),
        ("ur5e", forward),
        ("xarm7", lambda arm: arm),
        ("piper", lambda arm: arm),
        ("dual_piper", lambda arm: arm),
    ],
    ids=["ur5e-trajectory", "ur5e-forward", "xarm7-trajectory", "piper-agx", "dual-piper-agx"],
)
def test_a_checked_trajectory_arrives_at_the_joints_through_the_vendors_interface(bench, robot, changes):
    bench = bench(robot, changes)
    for arm in bench.robot.arms:
        before = {other.name: bench.q(other) for other in bench.robot.arms if other is not arm}
        goal = bench.move(arm, 0.05)
        assert bench.q(arm) == pytest.approx(goal, abs=3e-3)
        for other in bench.robot.arms:
            if other.name in before:
                assert bench.q(other) == pytest.approx(before[other.name], abs=3e-3)


def absolute(arm):
    """The names of a driver in the root namespace, for somebody who is not there."""
    command = replace(arm.command, topic=f"/{arm.command.topic}", controller=f"/{arm.command.controller}")
    hand = replace(arm.gripper.command, action=f"/{arm.gripper.command.action}")
    return replace(arm, command=command, gripper=replace(arm.gripper, command=hand))


def test_absolute_names_reach_a_driver_outside_our_namespace(bench):
    bench = bench("ur5e", namespace="/cell", ours=absolute)
    arm = bench.robot.arms[0]
    assert bench.links[arm.name].topic_names == ("/scaled_joint_trajectory_controller/joint_trajectory",)
    goal = bench.move(arm, 0.05)
    assert bench.q(arm) == pytest.approx(goal, abs=3e-3)
    bench.until(bench.hand_is_served, "the gripper's action")
    bench.links[arm.name].set_opening(0.0)
    bench.until(lambda: bench.world.truth().gripper_opening[arm.name] < 0.05, "a closed gripper")


def test_relative_names_do_not_leave_our_namespace(bench):
    bench = bench("ur5e", namespace="/cell")
    arm = bench.robot.arms[0]
    assert bench.links[arm.name].topic_names == ("/cell/scaled_joint_trajectory_controller/joint_trajectory",)
    bench.move(arm, 0.05)
    assert bench.q(arm) == pytest.approx(arm.q_home, abs=3e-3)


def poses(arm):
    """MoveIt Servo, switched by the adapter."""
    command = PoseTargetInterface(
        topic="servo_node/pose_target_cmds",
        rate_hz=100.0,
        frame=arm.base_frame,
        tip=arm.ee_frame,
        frame_id=arm.base_frame,
        servo_switch="servo_node/switch_command_type",
    )
    return replace(arm, command=command)


def test_servo_is_asked_for_poses_whenever_a_motion_begins_and_only_then(ros_context, monkeypatch):
    asked = []
    monkeypatch.setattr(
        arm_interfaces,
        "ServoSwitch",
        lambda node, service: SimpleNamespace(ask_for_poses=lambda: asked.append(service)),
    )
    robot = load_embodiment(CONFIG / "robots" / "ur5e.yaml")
    arm, now_ns = poses(robot.arms[0]), [1_000_000_000]
    node = rclpy.create_node("servo_bench")
    link = ArmLink(node, arm, robot.urdf_path, lambda: now_ns[0])
    assert asked == []
    path = home_trajectory(arm.name, arm.q_home, arm.q_home + 0.02, now_ns[0], arm.limits, 0.5)
    link.follow(path)
    link.follow(path)
    assert asked == ["servo_node/switch_command_type"]
    now_ns[0] = int(path.times_ns[-1]) + 1_100_000_000  # the end was held for a second, then the stream fell silent
    spin_until_silent(node, link)
    link.follow(path)
    assert len(asked) == 2
    node.destroy_node()


def spin_until_silent(node, link) -> None:
    for _ in range(WALL_TICKS):
        rclpy.spin_once(node, timeout_sec=0.01)
        if link.is_silent:
            return
    raise WaitedInVainError("the stream never fell silent")


@pytest.mark.skipif(importlib.util.find_spec("moveit_msgs") is not None, reason="this ROS has moveit_msgs")
def test_without_moveit_messages_a_switch_is_refused_with_a_remedy(ros_context):
    robot = load_embodiment(CONFIG / "robots" / "ur5e.yaml")
    node = rclpy.create_node("servo_bench")
    with pytest.raises(ConfigError, match="moveit-msgs"):
        ArmLink(node, poses(robot.arms[0]), robot.urdf_path, lambda: 0)
    node.destroy_node()


def parallel(arm):
    interface = GripperActionInterface(kind="parallel_gripper_command", action="hand/gripper_cmd", joint_name="finger")
    return replace(arm, gripper=replace(arm.gripper, command=interface))


def array(arm):
    interface = Float64ArrayInterface(topic="hand/commands", count=2)
    return replace(arm, gripper=replace(arm.gripper, command=interface))


@pytest.mark.parametrize(
    ("robot", "changes"),
    [
        ("ur5e", lambda arm: arm),
        ("xarm7", lambda arm: arm),
        ("ur5e", parallel),
        ("ur5e", array),
        ("piper", lambda a: a),
    ],
    ids=["gripper-command", "crank", "parallel-gripper-command", "array", "joint-state"],
)
def test_a_gripper_closes_and_opens_through_its_own_interface(bench, robot, changes):
    bench = bench(robot, changes)
    arm = bench.robot.arms[0]

    def opening() -> float:
        return bench.world.truth().gripper_opening[arm.name]

    bench.links[arm.name].set_opening(0.0)
    bench.until(lambda: opening() < 0.05, "a closed gripper")
    bench.links[arm.name].set_opening(1.0)
    bench.until(lambda: opening() > 0.95, "an open gripper")


def test_agx_feedback_has_the_drivers_names_and_the_whole_opening_in_metres(bench):
    bench = bench("dual_piper")
    bench.listen("right/feedback/joint_states")
    bench.until(lambda: bench.heard, "feedback of the right arm")
    msg = bench.heard[-1]
    assert list(msg.name) == ["joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "gripper"]
    assert msg.position[:6] == pytest.approx(bench.robot.arms[1].q_home, abs=2e-3)
    assert msg.position[6] == pytest.approx(0.07, abs=1e-3)


def test_agx_services_gate_stop_and_enable_each_arm_on_its_own(bench):
    bench = bench("dual_piper")
    left, right = (bench.world.drivers[name] for name in ("left", "right"))
    assert bench.call(SetBool, "left/control_enable", SetBool.Request(data=False)).success
    assert not left.control_enabled and right.control_enabled
    bench.call(SetBool, "right/enable_agx_arm", SetBool.Request(data=False))
    assert not right.is_powered
    bench.call(Empty, "left/emergency_stop", Empty.Request())
    assert bench.q(bench.robot.arms[0]) == pytest.approx(bench.robot.arms[0].q_home, abs=3e-3)


def test_an_arm_without_power_drops(bench):
    bench = bench("piper")
    arm = bench.robot.arms[0]
    bench.call(SetBool, "enable_agx_arm", SetBool.Request(data=False))
    bench.run(0.5)
    assert np.abs(bench.q(arm) - arm.q_home).max() > 0.2


def test_ending_plays_the_rest_of_a_streamed_motion(bench):
    bench = bench("piper")
    arm = bench.robot.arms[0]
    path = home_trajectory(arm.name, arm.q_home, arm.q_home + 0.02, bench.world.time_ns, arm.limits, 0.5)
    bench.links[arm.name].follow(path)
    bench.links[arm.name].finish()  # nobody spins meanwhile, as when a process ends
    bench.run(0.5)
    assert bench.q(arm) == pytest.approx(arm.q_home + 0.02, abs=3e-3)
