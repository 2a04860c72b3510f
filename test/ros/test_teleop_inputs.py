"""`teleop` as a process of its own, between devices that speak ROS and somebody who plays the adapter."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy, MultiDOFJointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.datatypes import RobotState
from vla3d_ros.deployment import teleop_parameters
from vla3d_ros.geometry import Transform
from vla3d_ros.resources import config_dir
from vla3d_ros.ros import conversions, qos

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROBOT = config_dir() / "robots" / "fr3.yaml"
T_BASE_EE = Transform.from_rpy((0.4, 0.0, 0.4), (np.pi, 0.0, 0.0))
PERIOD_S, WALL_LIMIT_S = 0.01, 30.0
STATE_NS = 10_000_000  # the arm's own time between two states


class Bench:
    """One teleop process, and a node that plays the arm, the adapter and the operator's device."""

    def __init__(self, namespace: str, device: str, tmp_path: Path, **file_changes) -> None:
        self.embodiment = load_embodiment(ROBOT)
        content = yaml.safe_load((config_dir() / "teleop" / f"{device}.yaml").read_text())
        content["options"] |= file_changes
        teleop_file = tmp_path / "teleop.yaml"
        teleop_file.write_text(yaml.safe_dump(content))
        values = teleop_parameters(self.embodiment, str(ROBOT), {}) | {"teleop_file": str(teleop_file)}
        parameters = tmp_path / "parameters.yaml"
        parameters.write_text(yaml.safe_dump({f"/{namespace}/teleop": {"ros__parameters": values}}))
        arguments = ["teleop", "--ros-args", "-r", f"__ns:=/{namespace}", "--params-file", str(parameters)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vla3d_ros.ros.process", *arguments], env=dict(os.environ)
        )
        self.node = Node("bench", namespace=f"/{namespace}", start_parameter_services=False)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.chunks: list = []
        self.status: dict[str, str] = {}
        self.act: Callable[[], None] = lambda: None
        self.verdict, self._due_s, self._stamp_ns = "allow", 0.0, 1_000_000_000
        self.node.create_subscription(MultiDOFJointTrajectory, "policy/chunk", self._on_chunk, qos.EVENT)
        self.node.create_subscription(DiagnosticStatus, "teleop/state", self._on_state, qos.LATCHED)
        self._ee = self.node.create_publisher(MultiDOFJointState, "ee_state", qos.EVENT)
        self._verdicts = self.node.create_publisher(DiagnosticStatus, "adapter/verdict", qos.EVENT)
        self.keys = self.node.create_publisher(String, "teleop/keys", qos.EVENT)

    def activate(self) -> bool:
        """Configure and activate; returns whether it was granted."""
        client = self.node.create_client(ChangeState, "teleop/change_state")
        self.wait(client.service_is_ready, "the node to appear")
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
            self.wait(future.done, "the transition")
            if not future.result().success:
                return False
        return True

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        """Play the arm and the device until something is so."""
        deadline = time.monotonic() + WALL_LIMIT_S
        while not is_done():
            assert time.monotonic() < deadline, f"waited in vain for {what}; {self.status}"
            if time.monotonic() >= self._due_s:
                self._due_s = time.monotonic() + PERIOD_S
                self._play()
            self.executor.spin_once(timeout_sec=PERIOD_S)

    def press(self, key: str) -> None:
        """Press a key of the terminal."""
        self.keys.publish(String(data=key))

    def shift(self) -> np.ndarray:
        """Where the newest chunk ends, relative to the arm, in the base's axes, m."""
        return T_BASE_EE.rotation @ self.chunks[-1].arms[0].Ts_ee0_ee[-1, :3, 3]

    def close(self) -> None:
        """End the process and leave."""
        self.process.terminate()
        self.process.wait(10)
        self.node.destroy_node()

    def _play(self) -> None:
        self._stamp_ns += STATE_NS
        stamp_ns = self._stamp_ns
        arm = self.embodiment.arms[0]
        zero = np.zeros(len(arm.joint_names))
        state = RobotState(
            arm=arm.name, stamp_ns=stamp_ns, joint_names=arm.joint_names, q=zero, dq=zero.copy(),
            T_base_ee=T_BASE_EE, gripper_opening=1.0,
        )  # fmt: skip
        self._ee.publish(conversions.ee_state_to_msg([state], arm.base_frame, {arm.name: arm.gripper.stroke_m}))
        self._verdicts.publish(DiagnosticStatus(message=self.verdict))
        self.keys.publish(String(data=""))
        self.act()

    def _on_chunk(self, msg: MultiDOFJointTrajectory) -> None:
        arm = self.embodiment.arms[0]
        self.chunks.append(conversions.chunk_from_msg(msg, {arm.name: arm.gripper.stroke_m}))

    def _on_state(self, msg: DiagnosticStatus) -> None:
        self.status = {value.key: value.value for value in msg.values} | {"message": msg.message}


@pytest.fixture
def bench(ros_context, tmp_path, request) -> Iterator[Callable[..., Bench]]:
    opened: list[Bench] = []

    def open_bench(device: str, **file_changes) -> Bench:
        opened.append(Bench(f"bench_{request.node.name}"[:40], device, tmp_path, **file_changes))
        return opened[-1]

    yield open_bench
    for one in opened:
        one.close()


class FakeLeader:
    """A driver of a leader arm: publishes joint states, and moves one joint when told."""

    def __init__(self, bench: Bench) -> None:
        self._arm = bench.embodiment.arms[0]
        self._publisher = bench.node.create_publisher(JointState, "/leader/joint_states", qos.EVENT)
        self.q = np.array(self._arm.q_home)
        self.opening = 1.0

    def publish(self) -> None:
        names = [*self._arm.joint_names, *self._arm.gripper.joint_names]
        position = [*self.q, *self._arm.gripper.positions(self.opening)]
        self._publisher.publish(JointState(name=names, position=[float(value) for value in position]))

    def tool(self, bench: Bench) -> Transform:
        return ArmKinematics(bench.embodiment.urdf_path, self._arm).forward(self.q)


def test_a_leader_arm_is_followed_while_the_terminals_clutch_is_closed(bench):
    table = bench("leader")
    leader = FakeLeader(table)
    table.act = leader.publish
    assert table.activate()
    table.wait(lambda: table.status.get("message") == "holding" and len(table.chunks) > 3, "a hold")
    before = leader.tool(table)
    leader.q[0] += 0.1
    table.wait(lambda: len(table.chunks) > 20, "more chunks")
    assert np.abs(table.shift()).max() < 1e-6
    table.press("c")
    table.wait(lambda: table.status.get("fr3_clutch") == "closed", "the clutch")
    before = leader.tool(table)
    leader.q[0] += 0.1
    leader.opening = 0.0
    expected = leader.tool(table).translation - before.translation
    assert np.linalg.norm(expected) > 0.02
    table.wait(lambda: np.linalg.norm(table.shift() - expected) < 2e-3, f"the arm to be told to move by {expected}")
    table.wait(lambda: table.chunks[-1].arms[0].gripper_opening[-1] == 0.0, "the gripper to close")


def test_a_leader_that_falls_silent_ends_the_chunks(bench):
    table = bench("leader")
    leader = FakeLeader(table)
    table.act = leader.publish
    assert table.activate()
    table.wait(lambda: len(table.chunks) > 3, "chunks")
    table.act = lambda: None
    table.wait(lambda: "silent" in table.status["message"], "the loss to be said")
    table.wait(lambda: table.status["message"].startswith("leader: silent for 1."), "a second of silence")
    count = len(table.chunks)
    for _ in range(30):
        table.wait(lambda: True, "nothing")
        table.executor.spin_once(timeout_sec=PERIOD_S)
    table.wait(lambda: table.status["message"].startswith("leader: silent for 2."), "another second of silence")
    assert len(table.chunks) - count < 15


def test_a_tracked_hand_is_followed_while_its_button_is_held(bench):
    table = bench("poses", poses=["/hand/pose"], joys=["/hand/joy"])
    poses = table.node.create_publisher(PoseStamped, "/hand/pose", qos.EVENT)
    joys = table.node.create_publisher(Joy, "/hand/joy", qos.EVENT)
    pose, joy = PoseStamped(), Joy(axes=[0.0], buttons=[0])
    pose.pose.orientation.w = 1.0

    def publish() -> None:
        poses.publish(pose)
        joys.publish(joy)

    table.act = publish
    assert table.activate()
    table.wait(lambda: table.status.get("message") == "holding", "a hold")
    joy.buttons = [1]
    table.wait(lambda: table.status.get("fr3_clutch") == "closed", "the clutch")
    pose.pose.position.y = 0.05
    table.wait(lambda: np.linalg.norm(table.shift() - [0.0, 0.05, 0.0]) < 2e-3, "the arm to be told to move left")
    pose.pose.position.y = 0.9
    table.wait(
        lambda: "jumped" in table.status["message"] or table.status["fr3_clutch"] == "locked", "the jump to count"
    )
    table.wait(lambda: table.status["fr3_clutch"] == "locked", "the clutch to lock")


def test_it_refuses_to_start_beside_another_source_of_chunks(bench):
    table = bench("keyboard")
    table.node.create_publisher(MultiDOFJointTrajectory, "policy/chunk", qos.EVENT)
    assert not table.activate()


def test_it_falls_silent_when_another_source_of_chunks_appears(bench):
    table = bench("keyboard")
    assert table.activate()
    table.wait(lambda: len(table.chunks) > 3, "chunks")
    rival = table.node.create_publisher(MultiDOFJointTrajectory, "policy/chunk", qos.EVENT)
    table.wait(
        lambda: "silent" in table.status["message"] and "bench" in table.status["message"], "the rival to be named"
    )
    count = len(table.chunks)
    table.wait(lambda: int(table.status["age_ms"]) >= 0, "a look")
    table.node.destroy_publisher(rival)
    table.wait(lambda: table.status["message"] == "holding", "the rival to be gone")
    assert len(table.chunks) >= count


def test_while_chunks_are_refused_they_hold_where_the_arm_is(bench):
    table = bench("keyboard")
    table.verdict = "stop"
    assert table.activate()
    table.act = lambda: table.press("w")
    table.wait(lambda: "does not follow" in table.status.get("message", "") and len(table.chunks) > 20, "refusals")
    assert np.abs(table.shift()).max() < 1e-9
    assert table.status["fr3_clutch"] == "locked"


def test_the_rate_of_chunks_is_thirty_a_second_of_the_arms_time(bench):
    table = bench("keyboard")
    assert table.activate()
    table.wait(lambda: len(table.chunks) > 60, "chunks")
    stamps = [chunk.stamp_ns for chunk in table.chunks[5:]]
    steps = np.diff(stamps)
    assert np.median(steps) in (3 * STATE_NS, 4 * STATE_NS)
    assert steps.min() >= 2 * STATE_NS


@pytest.fixture(autouse=True)
def rclpy_is_up(ros_context):
    assert rclpy.ok()
