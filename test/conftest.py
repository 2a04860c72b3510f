"""One quiet corner of ROS for the whole run: a domain nobody uses, this machine only, the shipped transport."""

import contextlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla3d_ros.errors import DependencyError
from vla3d_ros.ros.domain import claimed_domain
from vla3d_ros.ros.environment import prepare_environment
from vla3d_ros.twin.engine import import_mujoco

TEST_DOMAINS = range(1, 40)
RUN_MARK = f"VLA3D_TEST_RUN={os.getpid()}"
GRACE_S = 5.0


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
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


@pytest.fixture(scope="session")
def ros_context() -> Iterator[None]:
    """Initialise rclpy's default context once for all tests."""
    import rclpy

    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_run() -> Iterator[None]:
    """Fail the run if a test left a process behind."""
    yield
    deadline = time.monotonic() + GRACE_S
    while (left := _descendants()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"tests left processes behind: {left}"


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
