"""When to tell a gripper something: on change only, because gripper actions are not made for streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import GripperTarget

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_SAME = 1e-3


class GripperSchedule:
    """The openings one arm's policy asked for, and what was last sent."""

    def __init__(self, arm: str, *, deadband: float) -> None:
        """Start without a schedule.

        Args:
            arm: Name of the arm.
            deadband: Smallest change of opening (0..1) worth a command; fully open and fully closed are always sent.
        """
        self._arm = arm
        self._deadband = deadband
        self._times_ns: Times = np.zeros(0, dtype=np.int64)
        self._openings: Float = np.zeros(0)
        self._sent: float | None = None

    def follow(self, times_ns: Times, openings: Float) -> None:
        """Replace the schedule: openings (T,) 0 closed ... 1 open, due at times_ns (T,)."""
        self._times_ns, self._openings = times_ns, openings

    def clear(self) -> None:
        """Forget schedule and history: nothing is sent until a new schedule comes."""
        self.follow(np.zeros(0, dtype=np.int64), np.zeros(0))
        self._sent = None

    def due(self, now_ns: int) -> tuple[GripperTarget, ...]:
        """Return the command for the step in progress at now, if it differs from what was sent; else nothing."""
        if not len(self._times_ns):
            return ()
        step = min(int(np.searchsorted(self._times_ns, now_ns)), len(self._times_ns) - 1)
        opening = float(self._openings[step])
        if self._sent is not None and not self._is_new(opening, self._sent):
            return ()
        self._sent = opening
        return (GripperTarget(arm=self._arm, opening=opening),)

    def _is_new(self, opening: float, sent: float) -> bool:
        least = _SAME if opening in (0.0, 1.0) else self._deadband
        return abs(opening - sent) >= least
