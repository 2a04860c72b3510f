"""One deployment, started as separate processes, seen from outside."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from waiting import wait_until

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.deployment import load_deployment
from vla3d_ros.evaluation.node import TrialRunner
from vla3d_ros.resources import config_dir
from vla3d_ros.ros.conversions import stamp_ns_of_cdr

WALL_LIMIT_S = 60.0
PATIENT = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


class Ear:
    """Collects messages of the running graph, spun by the test itself."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.messages: dict[str, list] = defaultdict(list)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._known: set[str] = set()

    def listen(self, kind: type, topic: str, profile=PATIENT, keep: Callable = lambda msg: msg) -> None:
        """Append what `keep` makes of every message to `messages[topic]`."""
        if topic not in self._known:
            self._known.add(topic)
            self.node.create_subscription(kind, topic, lambda msg: self.messages[topic].append(keep(msg)), profile)

    def listen_to_stamps(self, kind: type, topic: str) -> None:
        """Append every message's stamp to `messages[topic]` without reading the rest: a slow ear hears less."""
        if topic not in self._known:
            self._known.add(topic)
            callback = lambda cdr: self.messages[topic].append(stamp_ns_of_cdr(cdr))  # noqa: E731
            self.node.create_subscription(kind, topic, callback, PATIENT, raw=True)

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        """Spin until something is so; fail with its name after a minute of wall time."""
        wait_until(is_done, what, limit_s=WALL_LIMIT_S, meanwhile=lambda: self._executor.spin_once(timeout_sec=0.05))

    def clear(self) -> None:
        """Forget what was heard."""
        self.messages.clear()


class Graph:
    """The running deployment: its processes, a trial runner that can drive it, and an ear."""

    def __init__(self, deployment, supervisor, runner: TrialRunner, ear: Ear) -> None:
        self.deployment, self.supervisor, self.runner, self.ear = deployment, supervisor, runner, ear


@pytest.fixture
def spun():
    """Return a function that spins a node in a thread of its own until the test ends."""
    stop, threads, nodes = threading.Event(), [], []

    def spin(node):
        executor = SingleThreadedExecutor()
        executor.add_node(node)

        def run():
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.05)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        nodes.append(node)
        return node

    yield spin
    stop.set()
    for thread in threads:
        thread.join()
    for node in nodes:
        node.destroy_node()


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Iterator[Graph]:
    """Bring `fr3_tabletop_twin` up, hand it out, and check that no process is left behind."""
    run_dir = tmp_path_factory.mktemp("graph")
    deployment = load_deployment("fr3_tabletop_twin", config_dir(), {"recorder": {"output_dir": str(run_dir / "bags")}})
    with running_graph(deployment, run_dir / "logs", is_private=True) as supervisor:
        pids = [supervisor.pid(process.name) for process in deployment.processes]
        runner = TrialRunner(deployment.namespace, list)
        node = None
        try:
            runner.bring_up(deployment.node_names, lambda name: None)
            node = rclpy.create_node("ear", start_parameter_services=False)
            yield Graph(deployment, supervisor, runner, Ear(node))
        finally:
            if node is not None:
                node.destroy_node()
            runner.close()
    assert not [pid for pid in pids if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().split()[2] != "Z"
    except FileNotFoundError:
        return False
