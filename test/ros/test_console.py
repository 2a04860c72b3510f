"""The console beside the running twin, used by a stranger's browser: real Chromium, real graph, separate processes."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("viser", reason="viser is not installed: pip install vla3d_ros[console]")
pytest.importorskip("selenium", reason="selenium is not installed: pip install vla3d_ros[browser]")

from diagnostic_msgs.msg import DiagnosticStatus
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from sensor_msgs.msg import JointState

from vla3d_ros.commands.console_process import ConsoleProcess
from vla3d_ros.ros import qos
from vla3d_ros.ros.conversions import stamp_to_ns

pytestmark = [pytest.mark.ros, pytest.mark.slow]

WALL_LIMIT_S = 90.0
S = 1_000_000_000
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--use-gl=angle",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--window-size=1280,800",
)  # fmt: skip


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
        deadline = time.monotonic() + WALL_LIMIT_S
        while not is_done():
            assert time.monotonic() < deadline, f"waited {WALL_LIMIT_S:g} s in vain for {what}; adapter: {self.state}"
            self._ear.pause()

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


class Page:
    """The page as an operator uses it."""

    def __init__(self, driver, url: str) -> None:
        self._driver, self._url = driver, url
        driver.get(url)

    def find(self, css: str):
        return self._driver.find_element(By.CSS_SELECTOR, css)

    def click(self, css: str) -> None:
        self.wait(lambda: self.find(css).is_enabled(), f"{css} to be enabled")
        self.find(css).click()

    def text(self, css: str) -> str:
        return self._driver.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", css)

    @property
    def mode(self) -> str:
        return self._driver.execute_script("return document.body.dataset.mode")

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WALL_LIMIT_S
        while not is_done():
            assert time.monotonic() < deadline, f"waited {WALL_LIMIT_S:g} s in vain for {what}; page: {self.mode}"
            time.sleep(0.05)

    def wait_for_mode(self, mode: str) -> None:
        self.wait(lambda: self.mode == mode, f"mode '{mode}'")

    def press_space(self) -> None:
        ActionChains(self._driver).send_keys(" ").perform()

    def shown_cameras(self) -> set[str]:
        script = (
            "return [...document.querySelectorAll('.tile:not(.stale)')]"
            ".filter(t => t.querySelector('img').naturalWidth).map(t => t.dataset.camera)"
        )
        return set(self._driver.execute_script(script))


def free_port() -> int:
    """A console that was started anew must be found at the same port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Iterator[object]:
    browser, helper = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if browser is None or helper is None:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(helper))
    yield driver
    driver.quit()


@pytest.fixture
def page(console, driver, graph, ears) -> Iterator[Page]:
    page = Page(driver, console.url)
    page.wait(lambda: page.mode not in ("offline", "absent", "silent"), "the adapter to be heard")
    if page.mode == "stopped":
        page.click("[data-do=reset]")
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
    start_moving(page, ears)
    if how == "space":
        page.find("[data-tab=log]").click()  # some button has the focus
    pressed_ns = ears.now_ns
    page.click("#stop") if how == "click" else page.press_space()
    ears.wait(lambda: ears.stopped_ns is not None, "the stop")
    assert ears.stopped_ns - pressed_ns < 0.2 * S
    page.wait_for_mode("stopped")
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
    ActionChains(field.parent).send_keys("\ue00c").perform()
    ears.wait(lambda: bool(ears.state["stopped"]), "the stop")


def test_stop_works_from_a_second_tab(page, driver, console, ears):
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        second = Page(driver, console.url)
        second.wait_for_mode("disarmed")
        second.press_space()
        ears.wait(lambda: bool(ears.state["stopped"]), "the stop")
    finally:
        driver.close()
        driver.switch_to.window(first)
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
