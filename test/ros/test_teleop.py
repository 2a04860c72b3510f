"""A person at the place of the policy: the twin's arm through adapter and safety, driven over the page's websocket."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("websockets.sync.client", reason="websockets is not installed")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState, MultiDOFJointState
from trajectory_msgs.msg import MultiDOFJointTrajectory
from waiting import Patience, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.commands.teleop_session import teleop_file_of, with_teleop
from vla3d_ros.deployment import load_deployment
from vla3d_ros.evaluation.live_trials import go_home
from vla3d_ros.evaluation.node import TrialRunner
from vla3d_ros.resources import config_dir
from vla3d_ros.ros import qos
from vla3d_ros.ros.conversions import chunk_from_msg, ee_state_from_msg, stamp_to_ns
from vla3d_ros.teleop.settings import load_teleop_settings

pytestmark = [pytest.mark.ros, pytest.mark.slow]

S = 1_000_000_000
WALL_LIMIT_S = 60.0
PATIENT = QoSProfile(depth=500, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)
RESTING_RAD_S = 0.02
STROKE_M = {"fr3": 0.08}


@dataclass
class Moment:
    """The arm at one instant of ROS time."""

    stamp_ns: int
    p: np.ndarray
    opening: float


class Page:
    """A page's half of the websocket: says at 30 Hz what it is told to ask for."""

    def __init__(self, url: str) -> None:
        self.twist, self.clutch = [0.0] * 6, False
        self._presses: list[str] = []
        self._socket = self._taking_control(f"{url.replace('http', 'ws')}ws")
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    @staticmethod
    def _taking_control(url: str) -> ClientConnection:
        """Connect as often as it takes: the server turns a page away until it has noticed that the last one left."""
        patience = Patience(WALL_LIMIT_S)
        while True:
            socket = connect(url)
            try:
                socket.recv()
                return socket
            except ConnectionClosed:
                patience.look("the page to be let in")

    def push(self, *twist: float) -> None:
        self.twist, self.clutch = [*twist, *[0.0] * (6 - len(twist))], True

    def let_go(self) -> None:
        self.twist, self.clutch = [0.0] * 6, False

    def press(self, name: str) -> None:
        self._presses.append(name)

    def close(self) -> None:
        """Cut the line in whatever state it is."""
        self._is_closing.set()
        self._thread.join()
        self._socket.close()

    def _talk(self) -> None:
        while not self._is_closing.wait(0.033):
            presses, self._presses = self._presses, []
            try:
                self._socket.send(json.dumps({"twist": self.twist, "clutch": self.clutch, "presses": presses}))
                with contextlib.suppress(TimeoutError):  # a page that reads nothing would be cut off
                    while True:
                        self._socket.recv(timeout=0)
            except ConnectionClosed:
                return


class Watcher:
    """What a stranger hears of the arm."""

    def __init__(self) -> None:
        self.node = Node("watcher", namespace="/fr3", start_parameter_services=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.moments: list[Moment] = []
        self.joints: list[tuple[int, np.ndarray, np.ndarray]] = []
        self.chunks: list = []
        self.teleop: dict[str, str] = {}
        self.adapter = ""
        self.present_ns = lambda: self.now_ns
        listen = self.node.create_subscription
        listen(MultiDOFJointState, "ee_state", self._on_ee_state, PATIENT)
        listen(JointState, "joint_states", self._on_joints, qos.SENSOR)
        listen(MultiDOFJointTrajectory, "policy/chunk", self._on_chunk, qos.EVENT)
        listen(DiagnosticStatus, "teleop/state", self._on_teleop, qos.LATCHED)
        listen(DiagnosticStatus, "adapter/state", self._on_adapter, qos.LATCHED)

    @property
    def now_ns(self) -> int:
        return self.moments[-1].stamp_ns if self.moments else 0

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        spin = lambda: self._executor.spin_once(timeout_sec=0.05)  # noqa: E731
        wait_until(is_done, what, limit_s=WALL_LIMIT_S, meanwhile=spin, told=lambda: (self.teleop, self.adapter))

    def pass_time(self, seconds: float) -> None:
        """Wait until that much later than the present; what was said before, and not read yet, is older than that."""
        until_ns = max(self.now_ns, self.present_ns()) + round(seconds * S)
        self.wait(lambda: self.now_ns >= until_ns, f"{seconds} s of ROS time")

    def speed_since(self, stamp_ns: int) -> float:
        return max(np.abs(dq).max() for stamp, _, dq in self.joints if stamp >= stamp_ns)

    def _on_ee_state(self, msg: MultiDOFJointState) -> None:
        T_base_ee, opening = ee_state_from_msg(msg, STROKE_M)["fr3"]
        self.moments.append(Moment(stamp_to_ns(msg.header.stamp), T_base_ee.translation, opening))

    def _on_joints(self, msg: JointState) -> None:
        arm = [index for index, name in enumerate(msg.name) if "finger" not in name]
        q, dq = np.array(msg.position)[arm], np.array(msg.velocity)[arm]
        self.joints.append((stamp_to_ns(msg.header.stamp), q, dq))

    def _on_chunk(self, msg: MultiDOFJointTrajectory) -> None:
        self.chunks.append(chunk_from_msg(msg, STROKE_M))

    def _on_teleop(self, msg: DiagnosticStatus) -> None:
        self.teleop = {value.key: value.value for value in msg.values} | {"message": msg.message}

    def _on_adapter(self, msg: DiagnosticStatus) -> None:
        self.adapter = msg.message


@dataclass
class Driven:
    """The running deployment, its runner, a watcher, and where the page is."""

    deployment: object
    runner: TrialRunner
    watcher: Watcher
    url: str

    def get_ready(self) -> None:
        """Home the arm, arm it, and wait until a page that is connected may drive."""
        self.runner.reset_stop()
        go_home(self.runner)
        self.runner.arm()
        watcher, armed_ns = self.watcher, self.runner.status().now_ns
        watcher.wait(lambda: watcher.now_ns >= armed_ns, "what was said meanwhile")
        watcher.wait(lambda: watcher.teleop.get("message") == "holding", "teleop to hold")
        watcher.pass_time(0.3)
        watcher.moments, watcher.joints, watcher.chunks = watcher.moments[-1:], [], []

    def push_until(self, page: Page, twist: tuple[float, ...], is_done: Callable[[], bool], what: str) -> None:
        """Push as a person does: whom a stall of the machine has locked out lets go and pushes again."""

        def go_on() -> bool:
            if self.watcher.teleop.get("fr3_clutch") == "locked":
                page.let_go()
            else:
                page.push(*twist)
            return is_done()

        self.watcher.wait(go_on, what)
        page.push(*twist)


@pytest.fixture(scope="module")
def driven(ros_context, tmp_path_factory) -> Iterator[Driven]:
    run_dir = tmp_path_factory.mktemp("teleop")
    base = load_deployment("fr3_tabletop_twin", config_dir(), {"recorder": {"output_dir": str(run_dir / "bags")}})
    deployment = with_teleop(base, teleop_file_of("browser"), {"page_port": 0})
    with running_graph(deployment, run_dir / "logs", is_private=True) as supervisor:
        runner = TrialRunner(deployment.namespace, supervisor.dead_processes)
        watcher = None
        try:
            runner.bring_up(deployment.node_names, lambda name: None)
            watcher = Watcher()
            watcher.present_ns = lambda: runner.status().now_ns
            watcher.wait(lambda: bool(watcher.teleop.get("page")), "the page's address")
            yield Driven(deployment, runner, watcher, watcher.teleop["page"])
        finally:
            if watcher is not None:
                watcher.node.destroy_node()
            runner.close()


@pytest.fixture
def page(driven) -> Iterator[Page]:
    page = Page(driven.url)
    driven.get_ready()
    yield page
    page.close()


def assert_inside_limits(driven: Driven) -> None:
    limits = driven.deployment.embodiment.arms[0].limits
    q = np.array([entry[1] for entry in driven.watcher.joints])
    dq = np.array([entry[2] for entry in driven.watcher.joints])
    lower, upper = limits.velocity_bounds(q)
    assert (q >= limits.q_lower).all() and (q <= limits.q_upper).all()
    assert (dq >= lower).all() and (dq <= upper).all()


def test_teleop_stands_where_the_policy_stood_and_alone_makes_chunks(driven):
    driven.watcher.pass_time(0.1)
    node = driven.watcher.node

    def is_alone() -> bool:  # a policy that was killed in a graph before this one is remembered for a while
        nodes = {f"{ns}/{name}" for name, ns in node.get_node_names_and_namespaces()}
        makers = [info.node_name for info in node.get_publishers_info_by_topic("/fr3/policy/chunk")]
        return "/fr3/teleop" in nodes and "/fr3/policy" not in nodes and makers == ["teleop"]

    driven.watcher.wait(is_alone, "teleop, alone")


def test_a_push_moves_the_arm_through_the_adapter_no_faster_than_told(driven, page):
    watcher = driven.watcher
    start = watcher.moments[-1].p
    driven.push_until(page, (1.0,), lambda: watcher.moments[-1].p[0] - start[0] > 0.06, "the arm to move forward")
    page.let_go()
    watcher.pass_time(1.0)
    rest_ns = watcher.now_ns
    watcher.pass_time(0.3)
    assert watcher.speed_since(rest_ns) < RESTING_RAD_S
    moved = watcher.moments[-1].p - start
    assert np.abs(moved[1:]).max() < 0.01
    p, t = np.array([m.p for m in watcher.moments]), np.array([m.stamp_ns for m in watcher.moments])
    over = np.searchsorted(t, t + S // 10)
    inside = over < len(t)
    speeds = np.linalg.norm(p[over[inside]] - p[inside], axis=1) / ((t[over[inside]] - t[inside]) / S)
    allowed = load_teleop_settings(teleop_file_of("browser")).limits.linear_m_s
    assert 0.5 * allowed < speeds.max() < 1.25 * allowed  # the servo may overshoot what it is told
    assert_inside_limits(driven)
    states = {moment.stamp_ns for moment in watcher.moments}
    inside_stamps = {chunk.stamp_ns for chunk in watcher.chunks if min(states) <= chunk.stamp_ns <= max(states)}
    assert len(inside_stamps) > 20
    assert inside_stamps <= states


def test_a_lost_page_brings_the_arm_to_rest_and_then_the_watchdog_stops_it(driven, page):
    watcher = driven.watcher
    start = watcher.moments[-1].p
    driven.push_until(page, (0.0, 1.0), lambda: watcher.moments[-1].p[1] - start[1] > 0.05, "the arm to move left")
    page.close()
    watcher.wait(lambda: "never heard" in watcher.teleop["message"], "the loss")
    watcher.pass_time(0.8)
    rest_ns = watcher.now_ns
    watcher.pass_time(0.3)
    assert watcher.speed_since(rest_ns) < RESTING_RAD_S
    assert_inside_limits(driven)
    watcher.wait(lambda: "no usable chunk" in watcher.adapter, "the adapter's watchdog")
    back = Page(driven.url)
    back.push(0.0, 1.0)
    still = watcher.moments[-1].p
    watcher.pass_time(1.0)
    assert np.abs(watcher.moments[-1].p - still).max() < 2e-3
    back.close()


def test_the_gripper_closes_on_its_own_while_the_arm_holds(driven, page):
    watcher = driven.watcher
    start = watcher.moments[-1].p
    page.press("close")
    watcher.wait(lambda: watcher.moments[-1].opening < 0.05, "the gripper to close")
    page.press("open")
    watcher.wait(lambda: watcher.moments[-1].opening > 0.9, "the gripper to open")
    assert np.abs(watcher.moments[-1].p - start).max() < 2e-3


def test_stop_on_the_page_latches_and_what_was_held_does_not_resume_by_itself(driven, page):
    watcher = driven.watcher
    start = watcher.moments[-1].p
    page.press("record_stop")
    watcher.wait(lambda: "record_stop refused" in watcher.teleop["said"], "a refusal")
    driven.push_until(page, (0.0, 0.0, 1.0), lambda: watcher.moments[-1].p[2] - start[2] > 0.03, "the arm to rise")
    page.press("stop")
    watcher.wait(lambda: watcher.adapter.startswith("stopped"), "the stop")
    watcher.pass_time(0.5)
    rest_ns = watcher.now_ns
    for request in ("reset", "arm"):
        page.press(request)
        watcher.wait(lambda request=request: watcher.teleop["said"].startswith(request), request)
    watcher.wait(lambda: watcher.teleop["adapter"] == "armed", "the arm to be armed")
    watcher.pass_time(1.0)
    assert watcher.speed_since(rest_ns) < RESTING_RAD_S
    assert watcher.teleop["fr3_clutch"] == "locked"
