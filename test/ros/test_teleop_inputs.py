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
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy, MultiDOFJointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory
from waiting import wait_until

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.datatypes import RobotState
from vla3d_ros.deployment import teleop_parameters
from vla3d_ros.geometry import Transform
from vla3d_ros.resources import config_dir
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.transitions import TransitionClient

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROBOT = config_dir() / "robots" / "fr3.yaml"
T_BASE_EE = Transform.from_rpy((0.4, 0.0, 0.4), (np.pi, 0.0, 0.0))
PERIOD_S, WALL_LIMIT_S = 0.01, 60.0
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
        client = TransitionClient(self.node, "teleop")
        self.wait(lambda: client.is_ready, "the node to appear")
        for verb in ("configure", "activate"):
            question = client.ask(verb)
            self.wait(lambda question=question: question.is_over, f"the answer to '{verb}'")
            if not question.result().success:
                return False
        return True

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        """Play the arm and the device until something is so."""
        wait_until(is_done, what, limit_s=WALL_LIMIT_S, meanwhile=self._go_on, told=self._known)

    def press(self, key: str) -> None:
        """Press a key of the terminal."""
        self.keys.publish(String(data=key))

    def shift(self) -> np.ndarray:
        """Where the newest chunk ends, relative to the arm, in the base's axes, m."""
        return T_BASE_EE.rotation @ self.chunks[-1].arms[0].Ts_ee0_ee[-1, :3, 3]

    def close(self) -> None:
        """End the process and leave."""
        self.process.terminate()
        self.process.wait(WALL_LIMIT_S)
        self.executor.shutdown()
        self.node.destroy_node()

    def _known(self) -> dict[str, str]:
        return self.status | ({"shift": str(self.shift().round(4))} if self.chunks else {})

    def _go_on(self) -> None:
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + PERIOD_S
            self._play()
        self.executor.spin_once(timeout_sec=PERIOD_S)

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


class Person:
    """Drives until it is done: where a stall of the machine opened the clutch, goes back and closes it once more.

    What the arm was told to do counts from where it was told to be when the clutch closed last.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._start = np.zeros(3)

    @property
    def is_followed(self) -> bool:
        return self._bench.status.get("fr3_clutch") == "closed"

    def look(self) -> None:
        if not self.is_followed and self._bench.chunks:
            self._start = self._bench.shift()

    def shift(self) -> np.ndarray:
        """Where the newest chunk ends, relative to where it ended when the clutch was closed, m."""
        return self._bench.shift() - self._start


class FakeLeader(Person):
    """A driver of a leader arm: publishes joint states; and the person at it, who presses c and moves one joint."""

    AGAIN_AFTER = 100

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._arm = bench.embodiment.arms[0]
        self._publisher = bench.node.create_publisher(JointState, "/leader/joint_states", qos.EVENT)
        self.q = np.array(self._arm.q_home)
        self.opening = 1.0
        self._goal, self._rest, self._waited = self.q, self.q, 0

    def drive(self, q: np.ndarray) -> None:
        """Close the clutch, then move to q; the clutch is looked at ever after."""
        self._goal, self._rest, self._waited = q, self.q, self.AGAIN_AFTER
        self._bench.act = self._press_and_move

    def _press_and_move(self) -> None:
        self.look()
        self._waited += 1
        if not self.is_followed and self._waited > self.AGAIN_AFTER:
            self._bench.press("c")
            self._waited = 0
        self.q = self._goal if self.is_followed else self._rest
        self.publish()

    def publish(self) -> None:
        names = [*self._arm.joint_names, *self._arm.gripper.joint_names]
        position = [*self.q, *self._arm.gripper.positions(self.opening)]
        self._publisher.publish(JointState(name=names, position=[float(value) for value in position]))

    def tool(self, q: np.ndarray) -> Transform:
        return ArmKinematics(self._bench.embodiment.urdf_path, self._arm).forward(q)


class TrackedHand(Person):
    """A tracker and its button; and the person whose hand it is."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._poses = bench.node.create_publisher(PoseStamped, "/hand/pose", qos.EVENT)
        self._joys = bench.node.create_publisher(Joy, "/hand/joy", qos.EVENT)
        self._is_pressing = False
        self.y = 0.0
        bench.act = self.publish

    def drive(self, y: float) -> None:
        """Hold the button and move to y; let go and come back whenever the clutch is locked."""
        self.y, self._is_pressing = y, True
        self._bench.act = self._press_and_move

    def jump(self, y: float) -> None:
        """Be somewhere else at once, and hold on."""
        self.y = y
        self._bench.act = self.publish

    def _press_and_move(self) -> None:
        self.look()
        goal, self.y = self.y, self.y if self.is_followed else 0.0
        self._is_pressing = self._bench.status.get("fr3_clutch") != "locked"
        self.publish()
        self.y = goal

    def publish(self) -> None:
        pose = PoseStamped()
        pose.pose.orientation.w, pose.pose.position.y = 1.0, self.y
        self._poses.publish(pose)
        self._joys.publish(Joy(axes=[0.0], buttons=[int(self._is_pressing)]))


def test_a_leader_arm_is_followed_while_the_terminals_clutch_is_closed(bench):
    table = bench("leader")
    leader = FakeLeader(table)
    table.act = leader.publish
    assert table.activate()
    table.wait(lambda: table.status.get("message") == "holding" and len(table.chunks) > 3, "a hold")
    turn = np.zeros_like(leader.q)
    turn[0] = 0.1
    leader.q = leader.q + turn
    table.wait(lambda: len(table.chunks) > 20, "more chunks")
    assert np.abs(table.shift()).max() < 1e-6
    expected = leader.tool(leader.q + turn).translation - leader.tool(leader.q).translation
    assert np.linalg.norm(expected) > 0.02
    leader.opening = 0.0
    leader.drive(leader.q + turn)
    table.wait(lambda: np.linalg.norm(leader.shift() - expected) < 2e-3, f"the arm to be told to move by {expected}")
    table.wait(lambda: table.chunks[-1].arms[0].gripper_opening[-1] == 0.0, "the gripper to close")


def test_a_leader_that_falls_silent_ends_the_chunks(bench):
    table = bench("leader")
    leader = FakeLeader(table)
    table.act = leader.publish
    assert table.activate()
    table.wait(lambda: len(table.chunks) > 3, "chunks")
    table.act = lambda: None
    table.wait(lambda: silent_s(table) > 1.0, "a second of silence")
    count, until_s = len(table.chunks), silent_s(table) + 1.0
    table.wait(lambda: silent_s(table) > until_s, "another second of silence")
    assert len(table.chunks) - count < 15


def silent_s(table: Bench) -> float:
    """How long the leader has been silent, as the operator is told."""
    words = table.status["message"].removeprefix("leader: silent for ").split()
    return float(words[0]) if table.status["message"].startswith("leader: silent for ") else 0.0


def test_a_tracked_hand_is_followed_while_its_button_is_held(bench):
    table = bench("poses", poses=["/hand/pose"], joys=["/hand/joy"])
    hand = TrackedHand(table)
    assert table.activate()
    table.wait(lambda: table.status.get("message") == "holding", "a hold")
    hand.drive(0.05)
    table.wait(lambda: np.linalg.norm(hand.shift() - [0.0, 0.05, 0.0]) < 2e-3, "the arm to be told to move left")
    hand.jump(0.9)
    table.wait(lambda: table.status["fr3_clutch"] == "locked", "the clutch to lock")


def test_a_person_whom_a_stall_has_locked_out_is_followed_again_after_letting_go(bench):
    table = bench("poses", poses=["/hand/pose"], joys=["/hand/joy"])
    hand = TrackedHand(table)
    assert table.activate()
    table.wait(lambda: table.status.get("message") == "holding", "a hold")
    hand.drive(0.05)
    table.wait(lambda: hand.is_followed, "the clutch")
    drive, table.act = table.act, lambda: None
    table.wait(lambda: table.status["fr3_clutch"] == "locked", "the silence to lock the clutch")
    table.act = drive
    table.wait(lambda: np.linalg.norm(hand.shift() - [0.0, 0.05, 0.0]) < 2e-3, "the arm to be told to move left")


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
