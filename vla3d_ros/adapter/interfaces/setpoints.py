"""A trajectory turned into a stream of setpoints, for arms that have no trajectory controller of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.trajectory import sample
from vla3d_ros.datatypes import JointTrajectory

Float = NDArray[np.float64]

_HOLD_NS = 1_000_000_000


class SetpointStream:
    """Samples the newest trajectory at whatever instant it is asked for.

    At the end of a trajectory its last position is repeated for a second, then the stream falls silent: such drivers
    hold what they heard last, and an arm at rest is left to whoever else wants to move it.
    """

    def __init__(self) -> None:
        """Start silent: without a trajectory there is nothing safe to say."""
        self._trajectory: JointTrajectory | None = None

    def follow(self, trajectory: JointTrajectory) -> None:
        """Replace the trajectory, in force from the next sample on. A stop is a trajectory like any other."""
        self._trajectory = trajectory

    @property
    def end_ns(self) -> int | None:
        """When the trajectory comes to rest; None without one."""
        return None if self._trajectory is None else int(self._trajectory.times_ns[-1])

    def sample(self, now_ns: int) -> Float | None:
        """Return the setpoint (J,) for an instant, None if there is nothing to say.

        Args:
            now_ns: ROS time; a clock that ran backwards repeats the trajectory's start, at rest.
        """
        trajectory = self._trajectory
        if trajectory is None:
            return None
        if now_ns > int(trajectory.times_ns[-1]) + _HOLD_NS:
            self._trajectory = None
            return None
        return sample(trajectory, now_ns)[0]
