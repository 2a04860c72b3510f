"""One quiet corner of ROS for the whole run: a domain nobody uses, this machine only, the shipped transport.

A second chance, and who gets one: tests marked `ros` start processes that have to find one another and to keep time
beside everything else the machine does. If such a test waited in vain (`waiting.WaitedInVainError`), or its graph did
not come up (`BringUpError`), it is run once more, and the summary says so under "needed a second run": a test that is
there often has a cause that must be found.
Nothing else is run again. A wrong number, a missing file, a broken law fails at once, whatever the load; and a test
that may be late but not wrong has to say so by waiting, not by measuring.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla3d_ros.errors import BringUpError, DependencyError
from vla3d_ros.ros.domain import claimed_domain
from vla3d_ros.ros.environment import prepare_environment
from vla3d_ros.twin.engine import import_mujoco

sys.path.insert(0, str(Path(__file__).parent / "support"))  # for every folder's tests, whatever the import mode
from waiting import WaitedInVainError

with contextlib.suppress(ImportError):  # those who test without the extra "dev" see its tests missing soon enough
    import hypothesis

    # Examples take as long as the machine takes, and are the same for every run: a gate that draws its own lots refuses
    # changes for what they did not touch. Look for new counterexamples with `pytest --hypothesis-profile=default`.
    hypothesis.settings.register_profile(
        "gate", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("gate")

TEST_DOMAINS = range(1, 40)
RUN_MARK = f"VLA3D_TEST_RUN={os.getpid()}"
GRACE_S = 5.0
CHROMIUM_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--use-gl=angle",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Complete the environment before any test module imports rclpy."""
    domain = claimed_domain(TEST_DOMAINS)
    logs = tempfile.TemporaryDirectory(prefix="vla3d_ros_test_logs_")
    os.environ["ROS_DOMAIN_ID"] = str(domain.__enter__())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_LOG_DIR"] = logs.name
    os.environ.__setitem__(*RUN_MARK.split("="))
    config.add_cleanup(lambda: domain.__exit__(None, None, None))
    config.add_cleanup(logs.cleanup)
    if _has_ros():
        prepare_environment()
    if importlib.util.find_spec("mujoco") is not None:
        with contextlib.suppress(DependencyError):  # the tests that render say what is missing
            import_mujoco()  # before some other package imports it without a renderer


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with a reason, what this machine cannot run."""
    missing = {
        "ros": None if _has_ros() else "rclpy is not installed: run 'make setup' or source ROS 2",
        "gpu": None if Path("/dev/nvidiactl").exists() else "no NVIDIA GPU",
        "hardware": None if os.environ.get("VLA3D_HARDWARE") else "set VLA3D_HARDWARE=1 beside a robot or a camera",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("ros") and config.pluginmanager.hasplugin("rerunfailures"):
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=[WaitedInVainError.__name__, BringUpError.__name__]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every test that was run twice, whatever became of it then."""
    again = terminalreporter.stats.get("rerun", [])
    if again:
        terminalreporter.section("needed a second run", sep="=", yellow=True)
    for report in again:
        reason = getattr(getattr(report.longrepr, "reprcrash", None), "message", "") or "it said no more"
        terminalreporter.line(f"{report.nodeid}: {reason.splitlines()[0]}", yellow=True)


@pytest.fixture(scope="session")
def ros_context() -> Iterator[None]:
    """Initialise rclpy's default context once for all tests."""
    import rclpy

    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[object]:
    """Start a headless Chromium that draws 3D without a GPU, and yield its Selenium driver; 1280 x 800."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    browser, driver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    started.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield started
    started.quit()


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_run() -> Iterator[None]:
    """Fail the run if a test left a process behind."""
    yield
    deadline = time.monotonic() + GRACE_S
    while (left := _descendants()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"tests left processes behind: {left}"


@pytest.fixture(scope="module", autouse=True)
def no_graph_outlives_its_module() -> Iterator[None]:
    """End what a failed test left running, and say so: the tests that follow must not meet its graph."""
    yield
    deadline = time.monotonic() + GRACE_S
    while (left := _own_programs()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for line in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.partition(":")[0]), signal.SIGKILL)
    assert not left, f"a test left programs running; they were killed: {left}"


def _own_programs() -> list[str]:
    """Return those of `_descendants` that are ours: verbs of the command line, and nodes."""
    return [line for line in _descendants() if "vla3d_ros.cli" in line or "vla3d_ros.ros.process" in line]


def _has_ros() -> bool:
    return importlib.util.find_spec("rclpy") is not None


def _descendants() -> list[str]:
    """Return "pid: command line" of every process that was started with this run's mark in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = RUN_MARK.encode() in (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if is_ours and command and process.name != str(os.getpid()):
            found.append(f"{process.name}: {command}")
    return found
