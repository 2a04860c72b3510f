"""AgileX's older `piper_ros` node in front of a PiPER, with its traps.

One JointState carries everything: six joints by name (a missing one goes to ZERO), and by POSITION in the arrays the
gripper (7th position, m), the arm's speed (7th velocity, percent) and the gripper's force (7th effort, N). The firmware
plans every target (MOVE J). The node's factors between rad and degrees are a little off, both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.interfaces.messages import JointStateMessage, WireMessage
from vla3d_ros.datatypes import JointLimits
from vla3d_ros.twin.arm_driver import not_understood
from vla3d_ros.twin.setpoint_follower import PlannerLaw, SetpointFollower

Float = NDArray[np.float64]

_GRIPPER_INDEX = 6
_FULL_LENGTH = 7
_COMMAND_SCALE = 57.32484 * math.pi / 180.0  # the node's millidegrees per rad, over the true ones
_FEEDBACK_SCALE = 0.017444 * 180.0 / math.pi
_FORCES_N = (0.5, 3.0)
_NAN_FORCE_N = 1.0


class PiperRosDriver:
    """`piper_single_ctrl` with its gripper."""

    feedback_scale = _FEEDBACK_SCALE

    def __init__(self, names: tuple[str, ...], limits: JointLimits, *, grip: Callable[[float, float], None]) -> None:
        """Start enabled.

        Args:
            names: (J,) names of the joints on the wire.
            limits: Range of the joints and speeds of the firmware's planner.
            grip: Called with (opening in m, force in N).
        """
        self._names = names
        self._limits = limits
        self._grip = grip
        self._gripped: tuple[float, float] | None = None
        self._follower = SetpointFollower()
        self.is_powered = True

    def enable(self, is_wanted: bool) -> None:
        """`enable_srv`: enabling closes the gripper; without power the arm drops."""
        self.is_powered = is_wanted
        self._follower.reset()
        if is_wanted:
            self._move_gripper(0.0, _NAN_FORCE_N)

    def receive(self, message: WireMessage, now_ns: int) -> str | None:
        """Take a message from `joint_ctrl_single`."""
        if not isinstance(message, JointStateMessage):
            return not_understood(message)
        if not self.is_powered:
            return None
        given = dict(zip(message.names, message.positions, strict=False))
        q = np.array([given.get(name, 0.0) for name in self._names])
        if not np.isfinite(q).all():
            return f"joint targets {q.tolist()} can not be encoded"
        clamped = np.clip(_COMMAND_SCALE * q, self._limits.q_lower, self._limits.q_upper)
        share = self._speed_percent(message) / 100.0
        law = PlannerLaw(speed=share * self._limits.velocity, acceleration=self._limits.acceleration)
        self._follower.follow(clamped, law)
        is_complete = len(message.positions) >= _FULL_LENGTH
        width_m = abs(message.positions[_GRIPPER_INDEX]) if is_complete else 0.0
        self._move_gripper(width_m, self._force_n(message))
        return None

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """Advance one control period."""
        return self._follower.update(now_ns, q)

    def reset(self) -> None:
        """A freshly started node beside an enabled arm."""
        self._follower.reset()
        self._gripped = None
        self.is_powered = True

    def _speed_percent(self, message: JointStateMessage) -> float:
        velocities = message.velocities
        if len(velocities) != _FULL_LENGTH or not any(velocities):
            return 100.0
        return min(max(velocities[_GRIPPER_INDEX], 1.0), 100.0)

    def _force_n(self, message: JointStateMessage) -> float:
        if len(message.efforts) < _FULL_LENGTH or math.isnan(message.efforts[_GRIPPER_INDEX]):
            return _NAN_FORCE_N
        return min(max(message.efforts[_GRIPPER_INDEX], _FORCES_N[0]), _FORCES_N[1])

    def _move_gripper(self, width_m: float, force_n: float) -> None:
        if self._gripped != (width_m, force_n):
            self._gripped = (width_m, force_n)
            self._grip(width_m, force_n)
