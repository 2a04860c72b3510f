"""The console beside the running twin, used by a stranger's browser: real Chromium, real graph, separate processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("viser", reason="viser is not installed: pip install vla3d_ros[console]")
pytest.importorskip("selenium", reason="selenium is not installed: pip install vla3d_ros[browser]")

from console_page import ESCAPE, OperatorPage, free_port
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from waiting import wait_until
from websockets.sync.client import connect

from vla3d_ros.commands.console_process import ConsoleProcess
from vla3d_ros.evaluation.live_trials import go_home
from vla3d_ros.ros import qos
from vla3d_ros.ros.conversions import stamp_to_ns

pytestmark = [pytest.mark.ros, pytest.mark.slow]

WALL_LIMIT_S, TRIES = 90.0, 3
S = 1_000_000_000


class Ears:
    """What a stranger hears of the arm, in ROS time."""

    def __init__(self, ear) -> None:
        self._ear = ear
        self.now_ns = 0
        self.state: dict[str, str] = {}
        self.stopped_ns: int | None = None
        self.speed = 0.0
        ear.node.create_subscription(JointState, "/fr3/joint_states", self._on_joints, qos.SENSOR)
        ear.node.create_subscription(DiagnosticStatus, "/fr3/adapter/state", self._on_state, qos.LATCHED)

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        wait_until(is_done, what, limit_s=WALL_LIMIT_S, meanwhile=self._ear.pause, told=lambda: self.state)

    def pass_time(self, seconds: float) -> None:
        until_ns = self.now_ns + round(seconds * S)
        self.wait(lambda: self.now_ns >= until_ns, f"{seconds} s of ROS time")

    def _on_joints(self, msg: JointState) -> None:
        self.now_ns = max(self.now_ns, stamp_to_ns(msg.header.stamp))
        self.speed = float(np.abs(msg.velocity).max())

    def _on_state(self, msg: DiagnosticStatus) -> None:
        self.state = {value.key: value.value for value in msg.values}
        if self.state["stopped"] and self.stopped_ns is None:
            self.stopped_ns = self.now_ns
        elif not self.state["stopped"]:
            self.stopped_ns = None


class SpunEar:
    """Spins a node in a thread, so that what is heard is heard when it comes."""

    def __init__(self, node) -> None:
        import threading

        from rclpy.executors import SingleThreadedExecutor

        self.node = node
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join(5.0)

    def pause(self) -> None:
        time.sleep(0.02)

    def _spin(self) -> None:
        while not self._is_closing.is_set():
            self._executor.spin_once(timeout_sec=0.05)


class Page(OperatorPage):
    """The page with what only a graph gives it."""

    def wait_for_mode(self, mode: str) -> None:
        self.wait(lambda: self.mode == mode, f"mode '{mode}'")

    def press_space(self) -> None:
        self.keys(" ")

    def shown_cameras(self) -> set[str]:
        script = (
            "return [...document.querySelectorAll('.tile:not(.stale)')]"
            ".filter(t => t.querySelector('img').naturalWidth).map(t => t.dataset.camera)"
        )
        return set(self.run(script))


@pytest.fixture(scope="module")
def console(graph, tmp_path_factory) -> Iterator[ConsoleProcess]:
    page = {"page_host": "127.0.0.1", "page_port": free_port(), "has_view": False}
    with ConsoleProcess(graph.deployment, page, tmp_path_factory.mktemp("console"), lambda line: None) as process:
        yield process


@pytest.fixture(scope="module")
def ears(graph) -> Iterator[Ears]:
    import rclpy

    spun = SpunEar(rclpy.create_node("operators_ear", start_parameter_services=False))
    ears = Ears(spun)
    spun.start()
    yield ears
    spun.close()
    spun.node.destroy_node()


@pytest.fixture
def page(console, chromium, graph, ears) -> Iterator[Page]:
    page = Page(chromium, console.url)
    page.wait(lambda: page.mode not in ("offline", "absent", "silent"), "the adapter to be heard")
    if page.mode == "stopped":
        page.click("[data-do=reset]")
        page.wait(lambda: page.mode != "stopped", "the stop to be reset")
    go_home(graph.runner)
    page.click("[data-do=disarm]")
    page.wait_for_mode("disarmed")
    yield page
    graph.runner.instruct("")
    graph.runner.disarm()


def start_moving(page: Page, ears: Ears) -> None:
    """By clicking: scene, instruction, home, arm."""
    page.click("#place")
    page.wait(lambda: "is set" in page.text("#scene-word"), "the scene")
    page.wait(lambda: page.find("#instruction").get_attribute("value").startswith("pick up"), "the instruction")
    page.click("[data-do=arm]")
    page.wait_for_mode("armed")
    page.click("#tell")
    ears.wait(lambda: ears.speed > 0.1, "the arm to move")


def test_the_page_shows_every_camera_and_the_clock_in_words(page, graph):
    page.wait(lambda: page.shown_cameras() == {"head", "side", "wrist"}, "all cameras")
    page.wait(lambda: "simulated time" in page.text("#clock"), "the clock")
    assert "hardware button" in page.text("footer")
    assert "{" not in page.text("main")


def test_nobody_but_the_recorder_and_the_trials_looks_at_the_truth(page, graph):
    node = graph.ear.node
    for topic in ("/twin/truth", "/twin/judge"):
        assert {info.node_name for info in node.get_subscriptions_info_by_topic(topic)} <= {"recorder", "trial_runner"}


@pytest.mark.parametrize("how", ["click", "space"])
def test_stop_latches_within_200_ms_of_ros_time(page, ears, how):
    """A machine that stood still for a moment gets another two tries: then it is not the machine."""
    for attempt in range(TRIES):
        start_moving(page, ears)
        if how == "space":
            page.find("[data-tab=log]").click()  # some button has the focus
        pressed_ns = ears.now_ns
        page.click("#stop") if how == "click" else page.press_space()
        ears.wait(lambda: ears.stopped_ns is not None, "the stop")
        page.wait_for_mode("stopped")
        took_ns = ears.stopped_ns - pressed_ns
        if took_ns < 0.2 * S or attempt == TRIES - 1:
            break
        page.click("[data-do=reset]")
        page.wait_for_mode("disarmed")
    assert took_ns < 0.2 * S
    page.wait(lambda: "confirmed" in page.text("#stop-word"), "the confirmation")
    ears.pass_time(0.5)
    assert ears.speed < 0.02
    assert ears.state["armed"] == "disarmed"


def test_space_types_in_the_instruction_field_and_escape_stops_there(page, ears):
    field = page.find("#instruction")
    field.clear()
    field.send_keys("wipe the table")
    assert field.get_attribute("value") == "wipe the table"
    assert not ears.state["stopped"]
    page.keys(ESCAPE)
    ears.wait(lambda: bool(ears.state["stopped"]), "the stop")


def test_stop_works_from_a_second_tab(page, chromium, console, ears):
    first = chromium.current_window_handle
    chromium.switch_to.new_window("tab")
    try:
        second = Page(chromium, console.url)
        second.wait_for_mode("disarmed")
        second.press_space()
        ears.wait(lambda: bool(ears.state["stopped"]), "the stop")
    finally:
        chromium.close()
        chromium.switch_to.window(first)
    page.wait_for_mode("stopped")


def test_a_whole_trial_by_clicking_is_homed_recorded_and_judged(page, ears, graph):
    page.click("[data-do=arm]")
    page.wait_for_mode("armed")
    page.click("[data-do=home]")
    ears.pass_time(0.5)
    ears.wait(lambda: ears.speed < 0.01, "the arm to rest at home")
    page.click("[data-do=disarm]")
    page.wait_for_mode("disarmed")
    page.click('#trial-body [data-key="R"]')
    page.wait(lambda: page.text("#trial-chip") == "recording", "the recording")
    start_moving(page, ears)
    page.wait(lambda: "phase" in page.text("#pane"), "the policy's phase")
    page.wait(lambda: "retreat" in page.text("#pane") or "done" in page.text("#pane"), "the policy to have placed")
    page.click("#idle")
    page.click("[data-do=disarm]")
    page.wait_for_mode("disarmed")
    page.click('#trial-body [data-key="S"]')
    page.wait(lambda: page.text("#trial-chip") != "recording", "the end of the recording")
    bags = Path(graph.deployment.parameters["recorder"]["output_dir"])
    page.wait(
        lambda: any("outcome: success" in f.read_text() for f in bags.rglob("*.yaml")), "the outcome beside the bag"
    )


def test_a_page_that_hangs_leaves_the_arm_moving_and_stop_to_others(page, console, ears):
    start_moving(page, ears)
    page.run("setTimeout(() => { const until = Date.now() + 6000; while (Date.now() < until); }, 0)")
    ears.pass_time(0.5)
    assert ears.state["armed"] == "armed" and not ears.state["stopped"]
    ears.wait(lambda: ears.speed > 0.05, "the arm to go on")
    with connect(f"{console.url.replace('http', 'ws')}stop") as line:
        line.send("stop")
        assert line.recv(timeout=WALL_LIMIT_S) == "heard"
    ears.wait(lambda: bool(ears.state["stopped"]), "the stop")
    page.wait_for_mode("stopped")


def test_a_console_that_is_killed_leaves_the_arm_moving_and_comes_back(page, ears, console):
    start_moving(page, ears)
    killed = console.pid
    os.kill(killed, signal.SIGKILL)
    page.wait_for_mode("offline")
    assert "NO CONNECTION" in page.text("#headline")
    for _ in range(3):
        ears.pass_time(0.4)
        assert ears.state["armed"] == "armed" and not ears.state["stopped"]
    ears.wait(lambda: ears.speed > 0.05, "the arm to go on")
    page.wait(lambda: console.pid != killed, "the console to be started anew")
    page.wait_for_mode("armed")  # the same page, not loaded again
    page.press_space()
    ears.wait(lambda: bool(ears.state["stopped"]), "the stop")
