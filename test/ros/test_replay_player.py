"""A bag played as topics: byte for byte, with /clock, paused and resumed, and refused if an arm would jump."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("pinocchio")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from waiting import wait_until

from vla3d_ros.recording.bag_reader import BagReader
from vla3d_ros.ros import qos
from vla3d_ros.ros.conversions import stamp_to_ns
from vla3d_ros.ros.domain import claimed_domain
from vla3d_ros.ros.persistent_client import PersistentClient, ask_again, only_wait
from vla3d_ros.ros.transitions import TransitionClient

sys.path.insert(0, str(Path(__file__).parents[1] / "replay"))

from made_up_run import RunMaker

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 40.0
JOINTS = "/fr3/joint_states"


class Audience:
    """A player process and a node that listens to what it plays, in a domain of their own."""

    def __init__(self, folder: Path, domain: int, **parameters) -> None:
        file = folder / "parameters.yaml"
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"discovery_s": 3.0, **parameters}}}))
        command = [sys.executable, "-m", "vla3d_ros.ros.process", "player", "--ros-args", "--params-file", str(file)]
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT), "ROS_DOMAIN_ID": str(domain)}
        )
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("audience", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.player = TransitionClient(self.node, "/player")
        self.words, self.clock_ns, self.failures = [], [], []
        self.node.create_subscription(DiagnosticStatus, "/player/state", self._on_state, qos.LATCHED)
        self.node.create_subscription(
            Clock, "/clock", lambda msg: self.clock_ns.append(stamp_to_ns(msg.clock)), qos.STATE
        )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.EVENT)

    def _on_state(self, msg: DiagnosticStatus) -> None:
        self.words.append(msg.message)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        self.failures += [status.message for status in msg.status if status.level == DiagnosticStatus.ERROR]

    def hear(self, kind, topic, profile=1000, raw=False) -> list:
        heard = []
        self.node.create_subscription(kind, topic, heard.append, profile, raw=raw)
        return heard

    def transition(self, verb: str) -> bool:
        self.wait(lambda: self.player.is_ready, "the player")
        question = self.player.ask(verb)
        self.wait(lambda: question.is_over, f"the answer to '{verb}'")
        return question.result().success

    def start(self) -> None:
        assert self.transition("configure"), self.failures
        assert self.transition("activate"), self.failures

    def ask(self, name: str, word: str) -> None:
        """Call a service again and again until the player says so."""
        client = PersistentClient(self.node, Trigger, f"/player/{name}")
        self.wait(lambda: client.is_ready, f"the service '{name}'")
        client.ask(Trigger.Request(), on_silence=ask_again if name in ("pause", "resume") else only_wait)
        self.wait(lambda: self.words[-1] == word, f"the player to be {word}")

    def wait(self, is_so, what: str) -> None:
        meanwhile = lambda: self.executor.spin_once(timeout_sec=0.05)  # noqa: E731
        wait_until(is_so, what, limit_s=TIMEOUT_S, meanwhile=meanwhile, told=lambda: self.words)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(TIMEOUT_S)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return RunMaker(tmp_path_factory.mktemp("bag") / "run").write()


@pytest.fixture
def audience(tmp_path):
    """Return a function that starts a player with parameters."""
    made = []
    with claimed_domain(range(90, 100)) as domain:

        def start(**parameters) -> Audience:
            made.append(Audience(tmp_path, domain, **parameters))
            return made[-1]

        yield start
        for one in made:
            one.close()


def recorded(bag: Path, topic: str) -> list[bytes]:
    with BagReader(bag) as reader:
        return [message.cdr for message in reader.messages([topic])]


def test_every_message_arrives_as_it_was_recorded_and_time_does_not_go_back(audience, bag):
    scene = audience(bag=str(bag), clock=100.0, rate=0.5)
    joints = scene.hear(JointState, JOINTS, raw=True)
    instructions = scene.hear(String, "/fr3/instruction", qos.LATCHED)
    scene.start()
    scene.wait(lambda: "finished" in scene.words, "the end of the bag")
    scene.spin(0.5)
    assert [bytes(cdr) for cdr in joints] == recorded(bag, JOINTS)
    assert [msg.data for msg in instructions] == ["do it"]
    assert scene.clock_ns == sorted(scene.clock_ns) and len(scene.clock_ns) > len(joints) // 2


def test_topics_are_renamed_and_the_rest_is_not_offered(audience, bag):
    scene = audience(bag=str(bag), topics=[JOINTS], remap=[f"{JOINTS}:=/other/joint_states"])
    renamed, images = scene.hear(JointState, "/other/joint_states"), scene.hear(Image, "/fr3/camera/head/image_raw")
    scene.start()
    scene.wait(lambda: "finished" in scene.words, "the end of the bag")
    scene.spin(0.5)
    assert len(renamed) == len(recorded(bag, JOINTS)) and not images


def test_nothing_is_played_while_paused(audience, bag):
    scene = audience(bag=str(bag), topics=[JOINTS], start_paused=True, discovery_s=1.0)
    joints = scene.hear(JointState, JOINTS)
    scene.start()
    scene.wait(lambda: "paused" in scene.words, "the player to wait")
    scene.spin(1.0)
    assert not joints
    scene.ask("resume", "playing")
    scene.wait(lambda: len(joints) > 20, "the first messages")
    scene.ask("pause", "paused")
    scene.spin(0.5)
    count = len(joints)
    scene.spin(1.0)
    assert len(joints) == count < len(recorded(bag, JOINTS))
    scene.ask("toggle_paused", "playing")
    scene.wait(lambda: "finished" in scene.words, "the end of the bag")


def test_a_bag_that_would_make_an_arm_jump_offers_nothing(audience, tmp_path):
    jumping = RunMaker(tmp_path / "jumping").write(q_jump=3.0)
    scene = audience(bag=str(jumping))
    assert not scene.transition("configure")
    scene.wait(lambda: any("an arm would jump" in failure for failure in scene.failures), "the reason")
    assert not [topic for topic, _ in scene.node.get_topic_names_and_types() if topic == JOINTS]
