"""`agx_can`: a PiPER on a CAN bus behind the topics of AgileX's `agx_arm_ros`, without that node and its traps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import JointState

from vla3d_ros.adapter.interfaces.agx_can import AgxCan
from vla3d_ros.ros import arm_messages, conversions, qos
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter

_ENABLE_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class AgxCanNodeParameters:
    """Parameters of `agx_can`."""

    channel: str = parameter("CAN interface", default="can0")
    bustype: str = parameter("Kind of bus, as in python-can", default="socketcan")
    joint_names: tuple[str, ...] = parameter("Joints on the wire", default=tuple(f"joint{i}" for i in range(1, 7)))
    gripper_name: str = parameter("The gripper on the wire", default="gripper")
    rate_hz: float = parameter("Rate of feedback/joint_states", unit="Hz", default=200.0)


class AgxCanNode(ManagedNode):
    """Carries messages between topics and one `AgxCan`."""

    def __init__(self) -> None:
        super().__init__("agx_can")
        self._settings = declare(self, AgxCanNodeParameters)
        self._arm: AgxCan | None = None
        self._is_active = False
        self._is_enabled = False
        self._is_wired = False
        self._complaint = ""

    def configure(self) -> None:
        """Open the bus."""
        p = self._settings
        self._arm = AgxCan(p.joint_names, p.gripper_name, channel=p.channel, bustype=p.bustype)
        if not self._is_wired:
            self._wire()

    def _wire(self) -> None:
        self._is_wired = True
        self._publisher = self.create_publisher(JointState, "feedback/joint_states", qos.EVENT)
        for topic in ("control/move_js", "control/joint_states"):
            self.create_subscription(JointState, topic, partial(self._on_command, topic), qos.COMMAND)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self._settings.rate_hz, self._report, clock=steady)
        self.create_timer(_ENABLE_POLL_S, self._enable, clock=steady)

    def activate(self) -> None:
        """Power the motors, then listen."""
        self._is_active = True

    def deactivate(self) -> None:
        """Stop listening. The arm keeps its power and its place: without power it would drop."""
        self._is_active = self._is_enabled = False

    def clean_up(self) -> None:
        """Leave the bus."""
        if self._arm is not None:
            self._arm.close()
            self._arm = None

    def _enable(self) -> None:
        if self._is_active and not self._is_enabled and self._arm is not None:
            self._is_enabled = self._arm.enable()

    def _on_command(self, topic: str, msg: JointState) -> None:
        if self._arm is None or not self._is_enabled:
            return
        complaint = self._arm.send(arm_messages.joint_command_from_msg(topic, msg)) or ""
        if complaint and complaint != self._complaint:
            self.get_logger().error(complaint)
        self._complaint = complaint

    def _report(self) -> None:
        positions = self._arm.positions() if self._arm is not None and self._is_active else None
        if positions is None:
            return
        unknown = np.full(len(positions), np.nan)
        q = np.array(list(positions.values()))
        nothing = np.zeros(0)
        self._publisher.publish(conversions.joint_state_to_msg(list(positions), q, unknown, nothing, self.now_ns))

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report power and what was refused last."""
        if not self._is_active:
            return True, "not active", {}
        if not self._is_enabled:
            return False, f"motors without power on {self._settings.channel}; is the arm switched on?", {}
        return not self._complaint, self._complaint or "enabled", {}
