"""`teleop`: a person at the place of `policy`. The same chunks on the same topic, so the same adapter and safety."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import MultiDOFJointState
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.errors import BringUpError, Vla3dError
from vla3d_ros.page_access import TELEOP_TOKEN
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.operator_requests import OperatorRequests
from vla3d_ros.ros.parameters import declare, parameter
from vla3d_ros.ros.teleop_inputs import TeleopInputs
from vla3d_ros.teleop.device import TeleopDevice
from vla3d_ros.teleop.devices.browser import BrowserPage
from vla3d_ros.teleop.devices.poses import TrackedHands
from vla3d_ros.teleop.loading import load_device, load_keys
from vla3d_ros.teleop.motion import Box
from vla3d_ros.teleop.settings import load_teleop_settings
from vla3d_ros.teleop.teleoperation import Teleoperation

_CHUNK_TOPIC = "policy/chunk"
_LOOK_HZ, _TELL_EVERY = 60.0, 6
_RIVALS_S = 1.0
_WALL_M = 0.015  # the operator is stopped so far before the gate's workspace ends, where the gate would latch a stop
_OF_EVERY_VERDICT = ("dropped_steps", "stamp_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class TeleopNodeParameters:
    """Parameters of `teleop`."""

    teleop_file: str = parameter("Which device, how fast, in whose axes")
    robot_file: str = parameter("Robot file of the follower; those of leaders lie beside it")
    base_frame: str = parameter("Frame of the end effectors' poses")
    arm_names: tuple[str, ...] = parameter("Arms, in order")
    gripper_strokes_m: tuple[float, ...] = parameter("Opening of each fully open gripper", unit="m")
    workspace_lower_m: tuple[float, ...] = parameter("The gate's workspace: lowest x, y, z", unit="m", default=())
    workspace_upper_m: tuple[float, ...] = parameter("The gate's workspace: highest x, y, z", unit="m", default=())
    page_host: str = parameter("Instead of the file's address for the page", default="")
    page_port: int = parameter("Instead of the file's port for the page; below 0: the file's", default=-1)


class TeleopNode(ManagedNode):
    """Looks at the device at 60 Hz, and answers every end-effector state that is due with a chunk, at 30 Hz."""

    def __init__(self) -> None:
        super().__init__("teleop")
        self._settings = declare(self, TeleopNodeParameters)
        self._strokes_m = dict(zip(self._settings.arm_names, self._settings.gripper_strokes_m, strict=True))
        self._device: TeleopDevice | None = None
        self._is_active = False
        self._is_wired = False
        self._due_ns = 0
        self._chunks = 0
        self._looks = 0
        self._rivals: list[str] = []
        self._adapter_state = "unknown"
        self._said = ""

    def configure(self) -> None:
        """Open the device and connect it."""
        driving = load_teleop_settings(Path(self._settings.teleop_file))
        options = dict(driving.options)
        if driving.device == "browser":
            options |= {"host": self._settings.page_host} if self._settings.page_host else {}
            options |= {"port": self._settings.page_port} if self._settings.page_port >= 0 else {}
        self._driving = replace(driving, options=options)
        self._keys = load_keys(self._driving)
        token = os.environ.get(TELEOP_TOKEN, "")
        device = load_device(self._driving, self._keys, Path(self._settings.robot_file), token, time.monotonic)
        device.open()
        T_base_device = device.T_base_device if isinstance(device, TrackedHands) else None
        self._teleoperation = Teleoperation(self._driving, self._settings.arm_names, self._box(), T_base_device)
        if isinstance(device, BrowserPage):
            self.get_logger().info(f"page on {device.url}")
        if not self._is_wired:
            self._wire()
        self._inputs = TeleopInputs(self, self._keys, time.monotonic)
        self._inputs.connect(device, self._driving)
        self._device = device

    def _wire(self) -> None:
        self._is_wired = True
        self._chunk_publisher = self.create_publisher(MultiDOFJointTrajectory, _CHUNK_TOPIC, qos.EVENT)
        self._state_publisher = self.create_publisher(DiagnosticStatus, "~/state", qos.LATCHED)
        self._requests = OperatorRequests(self, self._on_answer)
        self.create_subscription(MultiDOFJointState, "ee_state", self._on_ee_state, qos.SENSOR)
        self.create_subscription(DiagnosticStatus, "adapter/verdict", self._on_verdict, qos.EVENT)
        self.create_subscription(DiagnosticStatus, "adapter/state", self._on_adapter_state, qos.LATCHED)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / _LOOK_HZ, self._look, clock=steady)
        self.create_timer(_RIVALS_S, self._watch_for_rivals, clock=steady)

    def _box(self) -> Box | None:
        lower, upper = np.array(self._settings.workspace_lower_m), np.array(self._settings.workspace_upper_m)
        return Box(lower_m=lower + _WALL_M, upper_m=upper - _WALL_M) if len(lower) and len(upper) else None

    def activate(self) -> None:
        """Start, unless somebody else makes chunks already.

        Raises:
            BringUpError: Naming who does.
        """
        if rivals := self._find_rivals():
            remedy = "end it, or leave it out of the deployment"
            raise BringUpError(
                f"{rivals} publishes {_CHUNK_TOPIC}, too; one source of chunks may drive an arm: {remedy}"
            )
        self._is_active = True

    def deactivate(self) -> None:
        """Stop sending; the last chunk ends at rest, and the adapter's watchdog does the rest."""
        self._is_active = False

    def clean_up(self) -> None:
        """Release the device."""
        if self._device is not None:
            self._device.close()
            self._inputs.close()
            self._device = None

    # ------------------------------------------------------------------------------------------- inputs

    def _look(self) -> None:
        """Look at device and terminal; hand on what was pressed."""
        if not self._is_active or self._device is None:
            return
        now_s = time.monotonic()
        state = self._device.poll(now_s)
        state = replace(state, presses=(*state.presses, *self._keys.take_presses()))
        if self._keys.age_s(now_s) > self._driving.stale_s:
            self._teleoperation.release()
        for request in self._teleoperation.look(state, now_s):
            self._requests.send(request)
        self._looks += 1
        if self._looks % _TELL_EVERY == 0:
            self._tell()

    def _on_ee_state(self, msg: MultiDOFJointState) -> None:
        stamp_ns = conversions.stamp_to_ns(msg.header.stamp)
        dt_ns = round(self._driving.dt_s * 1e9)
        if not self._is_active or self._rivals or self._due_ns - dt_ns < stamp_ns < self._due_ns:
            return
        self._due_ns = (
            max(self._due_ns + dt_ns, stamp_ns + dt_ns // 2) if stamp_ns >= self._due_ns else stamp_ns + dt_ns
        )
        try:
            chunk = self._teleoperation.chunk(stamp_ns, conversions.ee_state_from_msg(msg, self._strokes_m))
        except Vla3dError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        if chunk is not None:
            self._chunk_publisher.publish(conversions.chunk_to_msg(chunk, self._settings.base_frame, self._strokes_m))
            self._chunks += 1

    def _on_verdict(self, msg: DiagnosticStatus) -> None:
        reasons = [f"{value.key}: {value.value}" for value in msg.values if value.key not in _OF_EVERY_VERDICT]
        self._teleoperation.note_verdict("; ".join(reasons[:1]) or "stopped" if msg.message == "stop" else "")

    def _on_adapter_state(self, msg: DiagnosticStatus) -> None:
        self._adapter_state = msg.message

    def _on_answer(self, request: str, is_granted: bool, message: str) -> None:
        self._said = f"{request}: {message}" if is_granted else f"{request} refused: {message}"
        if is_granted:
            self.get_logger().info(self._said)
        else:  # a line of its own: rclpy lets one line log at one severity only
            self.get_logger().warning(self._said)

    # ------------------------------------------------------------------------------------------- rivals

    def _find_rivals(self) -> list[str]:
        infos = self.get_publishers_info_by_topic(self.resolve_topic_name(_CHUNK_TOPIC))
        names = {f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos}
        return sorted(names - {self.get_fully_qualified_name()})

    def _watch_for_rivals(self) -> None:
        """Stop the arm if somebody else starts to make chunks, and stay silent while he does."""
        if not self._is_active:
            return
        before, self._rivals = self._rivals, self._find_rivals()
        if self._rivals and not before:
            self.get_logger().error(f"{self._rivals} publishes {_CHUNK_TOPIC}, too: stopping the arm")
            self._requests.send("stop")

    # ------------------------------------------------------------------------------------------ outputs

    def _tell(self) -> None:
        healthy, message, values = self.diagnose()
        name = self.get_fully_qualified_name()
        self._state_publisher.publish(conversions.status_msg(name, healthy, message, values))
        if isinstance(self._device, BrowserPage):
            self._device.show({**values, "message": message})

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report device, its age, the clutch of each arm, and what the adapter says."""
        if not self._is_active:
            return True, "not active", {}
        status = self._teleoperation.status()
        clutches = {f"{arm}_clutch": state for arm, state in status.clutches.items()}
        openings = {f"{arm}_opening": f"{opening or 0.0:.2f}" for arm, opening in status.openings.items()}
        values = {
            "device": self._driving.device,
            "page": self._device.url if isinstance(self._device, BrowserPage) else "",
            "age_ms": f"{1e3 * status.age_s:.0f}",
            "scale": f"{status.scale:g}",
            "selected": status.selected,
            "arms": " ".join(self._settings.arm_names),
            **clutches,
            **openings,
            "chunks": str(self._chunks),
            "adapter": self._adapter_state,
            "said": self._said,
        }
        if self._rivals:
            return False, f"{self._rivals} publishes {_CHUNK_TOPIC}, too; silent", values
        if status.lost:
            return False, f"{self._driving.device}: {status.lost}; holding, then silent", values
        if status.refused:
            return True, f"the adapter does not follow: {status.refused}", values
        return True, "driving" if "closed" in status.clutches.values() else "holding", values
