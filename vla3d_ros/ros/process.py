"""One operating-system process of the graph: hosts one or more nodes until it is told to end.

python -m vla3d_ros.ros.process twin camera --ros-args -r __ns:=/fr3 --params-file world.yaml
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from vla3d_ros.camera.source import CameraSources
from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.errors import ConfigError
from vla3d_ros.ros.lifecycle import ManagedNode

NODES = {
    "twin": "vla3d_ros.twin.node:TwinNode",
    "camera": "vla3d_ros.camera.node:CameraNode",
    "policy": "vla3d_ros.policy.node:PolicyNode",
    "adapter": "vla3d_ros.adapter.node:AdapterNode",
    "recorder": "vla3d_ros.recording.node:RecorderNode",
    "teleop": "vla3d_ros.teleop.node:TeleopNode",
    "player": "vla3d_ros.replay.node:BagPlayerNode",
    "console": "vla3d_ros.console.node:ConsoleNode",
    "agx_can": "vla3d_ros.ros.agx_can_node:AgxCanNode",
}
_SPIN_S = 0.1
_SWITCH_INTERVAL_S = 0.001  # threads of one process (physics, capture, callbacks) wait less for one another
_PR_SET_PDEATHSIG = 1

# glibc gives a freed image back to the system at once and faults the next one in page by page: 0.7 ms per copy of a
# 640x480 image instead of 0.03 ms, several copies per message. These limits let a process keep what it freed.
_MALLOPT = {-1: 512 * 2**20, -2: 16 * 2**20, -3: 32 * 2**20}  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    """Run the named nodes; SIGINT and SIGTERM end them in order, with the arm at rest and bags closed."""
    arguments = sys.argv[1:] if argv is None else argv
    names = arguments[: arguments.index("--ros-args")] if "--ros-args" in arguments else arguments
    _end_with_parent()
    tune_process()
    ended = _catch_signals()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    nodes: list[ManagedNode] = []
    try:
        nodes = create_nodes(names)
        executor = SingleThreadedExecutor()
        for node in nodes:
            executor.add_node(node)
        while not ended():
            executor.spin_once(timeout_sec=_SPIN_S)
    except ExternalShutdownException:
        pass
    finally:
        _end(nodes)
        for number in _ENDING_SIGNALS:  # a second one must not meet a half-finalised interpreter
            signal.signal(number, signal.SIG_IGN)
    return 0


def tune_process() -> None:
    """Make threads wait less for one another, and images cheap to allocate (glibc only)."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in _MALLOPT.items():
            mallopt(option, value)


def create_nodes(names: list[str], exchange: ViewExchange | None = None) -> list[ManagedNode]:
    """Create nodes by name; they share one table of camera sources, and views where the camera lives here, too.

    Args:
        names: Keys of `NODES`.
        exchange: Where the camera node puts views, for who listens beside these nodes.

    Raises:
        ConfigError: If a name is unknown, or none is given.
    """
    unknown = [name for name in names if name not in NODES]
    if unknown or not names:
        raise ConfigError(f"unknown nodes {unknown}: expected one or more of {sorted(NODES)}")
    sources = CameraSources()
    if exchange is None and "camera" in names:
        exchange = ViewExchange()
    shared: dict[str, tuple[Any, ...]] = {"twin": (sources,), "camera": (sources, exchange), "policy": (exchange,)}
    nodes = []
    for name in names:
        module_name, class_name = NODES[name].split(":")
        factory = getattr(importlib.import_module(module_name), class_name)
        nodes.append(factory(*shared.get(name, ())))
    return nodes


def _end(nodes: list[ManagedNode]) -> None:
    for node in reversed(nodes):
        try:
            node.shut_down()
        except Exception as error:  # the others must still be shut down
            node.get_logger().error(f"shutting down: {error!r}")
    for node in reversed(nodes):
        node.destroy_node()
    rclpy.try_shutdown()


def _catch_signals() -> Callable[[], bool]:
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    for number in _ENDING_SIGNALS:
        signal.signal(number, remember)
    return lambda: bool(received)


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when the process that started us dies, however it dies."""
    parent = os.environ.get("VLA3D_END_WITH_PARENT")
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we could ask
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
