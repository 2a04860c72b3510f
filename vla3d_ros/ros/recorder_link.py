"""Speaks to the recorder of a running graph: its services, its status, and the instruction of the policy."""

from __future__ import annotations

import time
from collections.abc import Mapping

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from vla3d_ros.errors import TransportError
from vla3d_ros.ros.qos import EVENT, LATCHED
from vla3d_ros.ros.robot_services import RobotServices

_ANSWER_S, _SPIN_S = 30.0, 0.1
_SERVICES = ("check", "start", "start_forced", "stop", "success", "failure", "discard")


class RecorderLink:
    """A client of one recorder node; not for several threads."""

    def __init__(self, namespace: str, *, instruction: str, operator: str, tells_policy: bool) -> None:
        """Join the graph.

        Args:
            namespace: Of the deployment.
            instruction: Of every episode.
            operator: Who records.
            tells_policy: Publish the instruction on `instruction` while an episode is recorded, and "" after.
        """
        self._instruction, self._tells_policy = instruction, tells_policy
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(
            "record", namespace=namespace, context=self._context, start_parameter_services=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._values: dict[str, str] = {}
        self._node.create_subscription(DiagnosticStatus, "recorder/status", self._on_status, EVENT)
        self._texts = {
            name: self._node.create_publisher(String, f"recorder/{name}", EVENT if name == "note" else LATCHED)
            for name in ("note", "instruction", "operator")
        }
        self._told = self._node.create_publisher(String, "instruction", LATCHED) if tells_policy else None
        self._facts = {"instruction": instruction, "operator": operator}
        self._services = RobotServices(self._node, [f"recorder/{name}" for name in _SERVICES], patience_s=_ANSWER_S)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    @property
    def values(self) -> Mapping[str, str]:
        """What the recorder published last on `~/status`."""
        return self._values

    def call(self, service: str) -> tuple[bool, str]:
        """Call a service of the recorder; before `start`, ask `check`, which not every recorder is told to heed.

        Raises:
            TransportError: If there is no such service, or no answer.
        """
        if service.startswith("start"):
            self._describe()
        if service == "start":
            is_ready, reasons = self._call("check")
            if not is_ready:
                return False, reasons
        return self._call(service)

    def _call(self, service: str) -> tuple[bool, str]:
        name = f"recorder/{service}"
        deadline = time.monotonic() + _ANSWER_S
        while not self._services.is_ready(name):
            if time.monotonic() > deadline:
                full = self._node.resolve_service_name(name)
                raise TransportError(f"no service '{full}': is the deployment up, in this ROS domain, with a recorder?")
            self.spin(_SPIN_S)
        question = self._services.ask(name)
        while not question.is_over:
            self.spin(_SPIN_S)
        answer = question.result()
        self._values.pop("failure", None)
        return bool(answer.success), str(answer.message)

    def note(self, text: str) -> None:
        """Add a remark to the episode."""
        self._texts["note"].publish(String(data=text))

    def begin(self) -> None:
        """Tell the policy what to do, if it is to be told."""
        if self._told is not None:
            self._told.publish(String(data=self._instruction))

    def end(self) -> None:
        """Let the policy rest."""
        if self._told is not None:
            self._told.publish(String(data=""))

    def spin(self, seconds: float) -> None:
        """Hear for a moment."""
        self._executor.spin_once(timeout_sec=seconds)

    def _describe(self) -> None:
        """Say what and who, and wait until the recorder repeats it."""
        wanted = {name: text for name, text in self._facts.items() if text}
        for name, text in wanted.items():
            self._texts[name].publish(String(data=text))
        deadline = time.monotonic() + _ANSWER_S
        while any(self._values.get(name) != text for name, text in wanted.items()):
            if time.monotonic() > deadline:
                raise TransportError(f"the recorder did not take {wanted} within {_ANSWER_S:g} s; is it active?")
            self.spin(_SPIN_S)

    def _on_status(self, msg: DiagnosticStatus) -> None:
        self._values = {value.key: value.value for value in msg.values}
