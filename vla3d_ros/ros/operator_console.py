"""An operator's node: sends keys and requests, and hears what teleoperation and adapter say."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from vla3d_ros.errors import TransportError
from vla3d_ros.ros import qos
from vla3d_ros.ros.operator_requests import OperatorRequests
from vla3d_ros.ros.teleop_inputs import KEYS_TOPIC

_SPIN_S = 0.05
_PAGE_TIMEOUT_S = 10.0


class OperatorConsole:
    """Joins the graph beside the robot's nodes. Everything it hears can be read at any time from any thread."""

    def __init__(self, namespace: str) -> None:
        """Join the graph; hear nothing yet.

        Args:
            namespace: Namespace of the robot, without slashes.
        """
        self._owns_ros = not rclpy.ok()
        if self._owns_ros:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("teleop_terminal", namespace=f"/{namespace}", start_parameter_services=False)
        self._status: Mapping[str, str] = {}
        self._answer = ""
        self._is_closing = threading.Event()
        self._executor = SingleThreadedExecutor()
        self._thread = threading.Thread(target=self._spin, name="teleop_terminal", daemon=True)

    def start(self) -> None:
        """Listen, in a thread of its own."""
        self._keys = self.node.create_publisher(String, KEYS_TOPIC, qos.EVENT)
        self._requests = OperatorRequests(self.node, self._on_answer)
        self.node.create_subscription(DiagnosticStatus, "teleop/state", self._on_state, qos.LATCHED)
        self._executor.add_node(self.node)
        self._thread.start()

    def close(self) -> None:
        """Leave the graph, and shut ROS down if this started it."""
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self.node.destroy_node()
        if self._owns_ros:
            rclpy.try_shutdown()

    @property
    def status(self) -> Mapping[str, str]:
        """What teleoperation said last: its named values and `message`."""
        return self._status

    @property
    def answer(self) -> str:
        """What the last request was answered."""
        return self._answer

    def send_keys(self, text: str) -> None:
        """Hand on what a terminal sent, or an empty text as its heartbeat."""
        self._keys.publish(String(data=text))

    def request(self, name: str) -> None:
        """Send a request of `operator_requests.SERVICES`."""
        self._requests.send(name)

    def wait_for_page(self) -> str:
        """Return where the page is served.

        Raises:
            TransportError: If teleoperation does not say so.
        """
        deadline = time.monotonic() + _PAGE_TIMEOUT_S
        while not self._status.get("page"):
            if time.monotonic() > deadline:
                raise TransportError(f"'teleop/state' names no page after {_PAGE_TIMEOUT_S:g} s; see the log of teleop")
            time.sleep(_SPIN_S)
        return self._status["page"]

    def _spin(self) -> None:
        try:
            while rclpy.ok() and not self._is_closing.is_set():
                self._executor.spin_once(timeout_sec=_SPIN_S)
        except ExternalShutdownException:
            return

    def _on_state(self, msg: DiagnosticStatus) -> None:
        self._status = {**{value.key: value.value for value in msg.values}, "message": msg.message}

    def _on_answer(self, request: str, is_granted: bool, message: str) -> None:
        self._answer = f"{request}: {message}" if is_granted else f"{request} refused: {message}"
