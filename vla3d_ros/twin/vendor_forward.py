"""ros2_control's forward command controller in front of an arm that follows streamed positions (UR servoj).

No timeout, no limits, no smoothing of its own: the last value is held for ever. A message of the wrong size makes the
controller fail; since jazzy the controller manager then deactivates it and the arm hears nothing more until somebody
switches it on again. Humble only writes to the log, and passes NaN on to the hardware.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.interfaces.messages import ArrayMessage, WireMessage
from vla3d_ros.twin.arm_driver import not_understood
from vla3d_ros.twin.setpoint_follower import ServoLaw, SetpointFollower
from vla3d_ros.twin.trajectory_controller import Distribution

Float = NDArray[np.float64]

_LAW = ServoLaw(bandwidth_rad_s=2.0 / 0.03)  # servoj with its default look-ahead of 0.03 s lags by about that much


class ForwardPositionDriver:
    """One arm behind `<controller>/commands`."""

    is_powered = True
    feedback_scale = 1.0

    def __init__(self, joints: int, *, distribution: Distribution) -> None:
        """Start active, without a command.

        Args:
            joints: Number of command interfaces.
            distribution: Whose controller to imitate.
        """
        self._joints = joints
        self._distribution = distribution
        self._follower = SetpointFollower()
        self.is_active = True

    def receive(self, message: WireMessage, now_ns: int) -> str | None:
        """Take positions (J,) rad in the controller's own order."""
        if not isinstance(message, ArrayMessage):
            return not_understood(message)
        if not self.is_active:
            return "controller is not active: the command was ignored"
        is_humble = self._distribution is Distribution.HUMBLE
        if len(message.values) != self._joints:
            self.is_active = is_humble
            text = f"command size ({len(message.values)}) does not match number of interfaces ({self._joints})"
            return text if is_humble else f"{text}; the controller was deactivated"
        if not np.isfinite(message.values).all():
            # Humble would write the NaN to the hardware, whose answer is its own; this twin refuses for both.
            return "Non-finite value received. Dropping message"
        self._follower.follow(np.array(message.values), _LAW)
        return None

    def activate(self) -> None:
        """Switch the controller on again; it holds until the next command."""
        self.is_active = True
        self._follower.hold()

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """Advance one control period."""
        return self._follower.update(now_ns, q)

    def reset(self) -> None:
        """Active again, without a command."""
        self.is_active = True
        self._follower.reset()
