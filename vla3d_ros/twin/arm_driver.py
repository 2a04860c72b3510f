"""What the twin's arms have in common: something that listens to commands and says where the joints should be."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.interfaces.messages import TrajectoryMessage, WireMessage
from vla3d_ros.twin.trajectory_command import TrajectoryCommand
from vla3d_ros.twin.trajectory_controller import TrajectoryController

Float = NDArray[np.float64]


class ArmDriver(Protocol):
    """A vendor's driver and the arm's own electronics, as seen from the topics and from the joints."""

    @property
    def is_powered(self) -> bool:
        """Whether the motors hold the arm; it falls otherwise."""
        ...

    @property
    def feedback_scale(self) -> float:
        """Positions on the wire divided by true ones."""
        ...

    def receive(self, message: WireMessage, now_ns: int) -> str | None:
        """Take a message from a topic.

        Returns:
            What the driver writes to its log about it, None if nothing. Nobody else is told.
        """
        ...

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """Advance one control period; returns the reference (q, dq), (J,) each, for measured q, dq (J,)."""
        ...

    def reset(self) -> None:
        """Forget everything that was commanded and rest where the arm is at the next update."""
        ...


class TrajectoryDriver:
    """An arm under a ros2_control joint trajectory controller."""

    is_powered = True
    feedback_scale = 1.0

    def __init__(self, controller: TrajectoryController) -> None:
        """Take the controller."""
        self.controller = controller

    def receive(self, message: WireMessage, now_ns: int) -> str | None:
        """Hand a trajectory to the controller; returns its refusal."""
        if not isinstance(message, TrajectoryMessage):
            return not_understood(message)
        return self.controller.submit(TrajectoryCommand.from_trajectory(message.trajectory), now_ns)

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """See `TrajectoryController.update`."""
        return self.controller.update(now_ns, q, dq)

    def reset(self) -> None:
        """See `TrajectoryController.reset`."""
        self.controller.reset()


def not_understood(message: WireMessage) -> str:
    """Return the complaint about a message of the wrong type; on a real robot the types would not even match."""
    return f"{type(message).__name__} means nothing to this arm's driver"
