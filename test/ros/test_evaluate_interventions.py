"""What people do to the graph while a trial runs reaches the trial's record, through the topics themselves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from waiting import wait_until

from vla3d_ros.evaluation.node import TrialRunner
from vla3d_ros.ros import conversions, qos

pytestmark = pytest.mark.ros

NAMESPACE = "interventions"
S = 1_000_000_000


class Robot:
    """Says what adapter, recorder and teleoperation would say."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("robot", namespace=f"/{NAMESPACE}")
        self._state = self.node.create_publisher(DiagnosticStatus, "adapter/state", qos.LATCHED)
        self._verdict = self.node.create_publisher(DiagnosticStatus, "adapter/verdict", qos.EVENT)
        self._teleop = self.node.create_publisher(DiagnosticStatus, "teleop/state", qos.LATCHED)
        self._joints = self.node.create_publisher(JointState, "joint_states", qos.EVENT)
        self.node.create_service(Trigger, "recorder/start", self._start)

    def _start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, "bags/episode_0001"
        return response

    def adapter(self, armed: str, stopped: str = "") -> None:
        self._state.publish(status(stopped or armed, armed=armed, stopped=stopped))

    def verdict(self, kind: str, **reasons: str) -> None:
        self._verdict.publish(status(kind, dropped_steps="0", stamp_ns="1", **reasons))

    def clutch(self, state: str) -> None:
        self._teleop.publish(status("driving", fr3_clutch=state))

    def joints(self, now_ns: int) -> None:
        msg = JointState(name=["a"], position=[0.0], velocity=[0.0])
        msg.header.stamp = conversions.stamp_from_ns(now_ns)
        self._joints.publish(msg)


def status(message: str, **values: str) -> DiagnosticStatus:
    return DiagnosticStatus(message=message, values=[KeyValue(key=k, value=v) for k, v in values.items()])


@pytest.fixture
def robot(spun) -> Robot:
    if not rclpy.ok():
        rclpy.init()
    robot = Robot()
    spun(robot.node)
    return robot


@pytest.fixture
def runner(robot):
    runner = TrialRunner(NAMESPACE, list)
    runner.bring_up((), lambda node: None)
    yield runner
    runner.close()


def until(is_so: Callable[[], bool], act: Callable[[], None], what: str) -> None:
    """Act, and wait until it has been heard."""
    act()
    wait_until(is_so, what, limit_s=20.0, meanwhile=lambda: time.sleep(0.02))


def test_stop_disarming_and_takeover_are_counted_and_refused_chunks_are_no_stops(robot, runner):
    seen = lambda **kinds: lambda: runner.measured().interventions == kinds  # noqa: E731
    wait_until(
        lambda: (robot.joints(20 * S), time.sleep(0.05), runner.status().now_ns == 20 * S)[-1],
        "the runner to hear the robot",
        limit_s=20.0,
    )
    until(lambda: not runner.status().stop_reason, lambda: robot.adapter("armed"), "armed")
    runner.start_recording()
    time.sleep(0.5)
    runner.instruct("pick up the cube")
    until(seen(disarm=1), lambda: robot.adapter("disarmed"), "the disarming")
    robot.adapter("armed")
    time.sleep(0.3)
    until(seen(disarm=1, takeover=1), lambda: robot.clutch("closed"), "the takeover")
    until(
        lambda: runner.measured().verdicts == {"refuse": 1, "stop": 1},
        lambda: (robot.verdict("stop", chunk_rate="too fast"), robot.verdict("stop", workspace="left")),
        "the verdicts",
    )
    until(
        seen(disarm=1, takeover=1, stop=1),
        lambda: robot.adapter("disarmed", "operator: stop service called"),
        "the stop",
    )
    runner.instruct("")
    robot.adapter("disarmed")
    robot.clutch("open")
    time.sleep(0.3)
    assert runner.measured().interventions == {"disarm": 1, "takeover": 1, "stop": 1}
    runner.start_recording()
    assert runner.measured().interventions == {}
