"""AgileX's `agx_arm_ros` node in front of a PiPER, with its traps.

Two snapshots of the node are in circulation which differ in what they make of NaN, of missing names and of finite
velocities; which of them is the newer is not known, so both are here, by their commits. Common to both: a joint that a
message leaves out goes to ZERO, the last target stays in force for ever, and a gripper command out of range is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.interfaces.messages import JointStateMessage, WireMessage
from vla3d_ros.datatypes import JointLimits
from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.arm_driver import not_understood
from vla3d_ros.twin.setpoint_follower import Law, PlannerLaw, ServoLaw, SetpointFollower

Float = NDArray[np.float64]
Grip = Callable[[float, float], None]

_WIDEST_M = 0.1
_FORCES_N = (0.5, 3.0)
_DEFAULT_FORCE_N = 1.0
# Not measured on metal: how quickly the firmware's position loops follow. JS has fixed gains, MIT the node's soft ones.
_JS = ServoLaw(bandwidth_rad_s=40.0)
_MIT = ServoLaw(bandwidth_rad_s=15.0)
_SPEED_SHARE = 0.5  # of MOVE J, where the SDK's default is left alone


class AgxSnapshot(Enum):
    """Which state of the node is imitated, by its commit."""

    NODE_77882F4 = "77882f4"
    NODE_CA5C7AA = "ca5c7aa"

    @classmethod
    def parse(cls, name: str) -> AgxSnapshot:
        """Return the snapshot of a commit.

        Raises:
            ConfigError: If that state of the node is not imitated.
        """
        try:
            return cls(name)
        except ValueError:
            known = [snapshot.value for snapshot in cls]
            raise ConfigError(f"agx_arm_ros '{name}' is not imitated: expected one of {known}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgxSettings:
    """Launch arguments of the node."""

    snapshot: AgxSnapshot = AgxSnapshot.NODE_77882F4
    fast_mode: bool = False


class AgxDriver:
    """One node, one arm, one gripper."""

    feedback_scale = 1.0

    def __init__(
        self, names: tuple[str, ...], gripper_name: str, limits: JointLimits, *, grip: Grip, settings: AgxSettings
    ) -> None:
        """Start enabled, as with `auto_enable`; deaf until the first joint feedback.

        Args:
            names: (J,) names of the joints on the wire.
            gripper_name: Name of the gripper on the wire, empty without one.
            limits: The SDK's clamp, and the speeds of its planner.
            grip: Called with (opening in m, force in N).
            settings: Launch arguments.
        """
        self._names = names
        self._gripper_name = gripper_name
        self._limits = limits
        self._grip = grip
        self._settings = settings
        self._follower = SetpointFollower()
        self._has_feedback = False
        self._gripped: tuple[float, float] | None = None
        self.is_powered = True
        self.control_enabled = True
        self.is_dead = False
        self._planned = PlannerLaw(speed=_SPEED_SHARE * limits.velocity, acceleration=limits.acceleration)

    # ------------------------------------------------------------------------------------------- services

    def enable(self, is_wanted: bool) -> None:
        """`enable_agx_arm`: without power the arm DROPS."""
        self.is_powered = is_wanted
        self._follower.reset()

    def emergency_stop(self) -> str | None:
        """`emergency_stop`: commands the present angles once; latches nothing, the next message moves again."""
        q = self._follower.reference_q
        if not self.is_powered or q is None:
            return "Agx_arm is not enabled, cannot stop"
        self._follower.follow(q, self._planned)
        return None

    def move_home(self) -> str | None:
        """`move_home`: all joints to zero."""
        return self._gate() or self._move(np.zeros(len(self._names)), self._planned)

    # --------------------------------------------------------------------------------------------- topics

    def receive(self, message: WireMessage, now_ns: int) -> str | None:
        """Take a message from `control/joint_states`, `control/move_j` or `control/move_js`."""
        if not isinstance(message, JointStateMessage):
            return not_understood(message)
        blocked = self._gate()
        if blocked is not None:
            return blocked or None
        endpoint = message.topic.rsplit("/", 1)[-1]
        if endpoint == "move_j":
            return self._move_all(message, self._planned)
        if endpoint == "move_js":
            return self._move_all(message, _JS)
        if endpoint != "joint_states":
            return f"nothing listens on '{message.topic}'"
        said = [self._joint_states(message), self._move_gripper(message)]
        return "; ".join(text for text in said if text) or None

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """Advance one control period; the first one is the first feedback."""
        self._has_feedback = True
        return self._follower.update(now_ns, q)

    def reset(self) -> None:
        """A freshly started node beside an enabled arm."""
        self._follower.reset()
        self._gripped = None
        self.is_powered, self.control_enabled, self.is_dead = True, True, False

    # ------------------------------------------------------------------------------------------ private

    def _gate(self) -> str | None:
        """Return None if the gate is open; otherwise the log line, empty where the node drops in silence."""
        if self.is_dead:
            return "the node has shut down"
        if not self._has_feedback:
            return ""
        if not self.is_powered:
            return "Agx_arm is not enabled, cannot control"
        return None if self.control_enabled else "External control gate is closed, ignore control commands"

    def _provided(self, message: JointStateMessage) -> dict[str, float]:
        """Positions of the arm's joints by name, as the snapshot reads them."""
        given = dict(zip(message.names, message.positions, strict=False))
        arm = {name: given.get(name, 0.0) for name in message.names if name in self._names}
        if self._settings.snapshot is AgxSnapshot.NODE_CA5C7AA:
            return {name: value for name, value in arm.items() if math.isfinite(value) and name in given}
        return {name: 0.0 if math.isnan(value) else value for name, value in arm.items()}

    def _move_all(self, message: JointStateMessage, law: Law) -> str | None:
        provided = self._provided(message)
        if not provided and self._settings.snapshot is AgxSnapshot.NODE_CA5C7AA:
            return "no valid joint in the message"
        return self._move(np.array([provided.get(name, 0.0) for name in self._names]), law)

    def _joint_states(self, message: JointStateMessage) -> str | None:
        provided = self._provided(message)
        if not provided:
            return None
        is_newer_rule = self._settings.snapshot is AgxSnapshot.NODE_CA5C7AA and self._settings.fast_mode
        if is_newer_rule and (len(provided) < len(self._names) or self._has_derivatives(message)):
            return self._move_mit(provided)
        return self._move_all(message, _JS if self._settings.fast_mode else self._planned)

    def _has_derivatives(self, message: JointStateMessage) -> bool:
        """Whether an arm joint has a finite velocity or effort; a zero counts."""
        values = [
            *zip(message.names, message.velocities, strict=False),
            *zip(message.names, message.efforts, strict=False),
        ]
        return any(name in self._names and math.isfinite(value) for name, value in values)

    def _move_mit(self, provided: dict[str, float]) -> str:
        q = self._follower.reference_q
        assert q is not None
        for name, value in provided.items():
            q[self._names.index(name)] = value
        self._move(q, _MIT)
        return f"per-joint MIT mode for {sorted(provided)}: soft, and without the firmware's gains"

    def _move(self, q: Float, law: Law) -> str | None:
        if np.isinf(q).any():
            self.is_dead = True
            return f"ValueError: joint targets {q.tolist()}; the node shuts down, the motors stay enabled"
        clamped = np.clip(q, self._limits.q_lower, self._limits.q_upper)
        self._follower.follow(clamped, law)
        over = [name for name, a, b in zip(self._names, q, clamped, strict=True) if a != b]
        return f"joints {over} are out of range and were clamped" if over else None

    def _move_gripper(self, message: JointStateMessage) -> str | None:
        if self._gripper_name not in message.names:
            return None
        at = message.names.index(self._gripper_name)
        position = message.positions[at] if at < len(message.positions) else 0.0
        width_m = abs(position) if math.isfinite(position) else 0.0
        force = message.efforts[at] if at < len(message.efforts) else 0.0
        force_n = force if math.isfinite(force) and force else _DEFAULT_FORCE_N
        if width_m > _WIDEST_M or not _FORCES_N[0] <= force_n <= _FORCES_N[1]:
            return f"gripper width {width_m:g} m or force {force_n:g} N out of range: not executed"
        if self._gripped != (width_m, force_n):
            self._gripped = (width_m, force_n)
            self._grip(width_m, force_n)
        return None
