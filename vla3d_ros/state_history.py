"""A short memory of robot states: interpolated on request, never extrapolated."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import replace

import numpy as np

from vla3d_ros.datatypes import RobotState
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform, blend_transforms


class RobotStateHistory:
    """The states of one arm, bounded in time."""

    def __init__(self, *, memory_ns: int) -> None:
        self._memory_ns = memory_ns
        self._states: deque[RobotState] = deque()

    def __len__(self) -> int:
        return len(self._states)

    @property
    def newest(self) -> RobotState | None:
        """The newest state."""
        return self._states[-1] if self._states else None

    def clear(self) -> None:
        """Forget everything, e.g. after the clock was reset."""
        self._states.clear()

    def add(self, state: RobotState) -> bool:
        """Remember a state.

        Returns:
            False if it is not newer than the newest one, in which case nothing is stored.
        """
        if self._states and state.stamp_ns <= self._states[-1].stamp_ns:
            return False
        self._states.append(state)
        while self._states[0].stamp_ns < state.stamp_ns - self._memory_ns:
            self._states.popleft()
        return True

    def covers(self, stamp_ns: int) -> bool:
        """Whether the state at a time is known."""
        return bool(self._states) and self._states[0].stamp_ns <= stamp_ns <= self._states[-1].stamp_ns

    def lookup(self, stamp_ns: int) -> RobotState:
        """Return the state at a time: joints and opening linear, pose along the screw.

        Raises:
            StaleObservationError: If the time is not covered; says by how much.
        """
        if not self._states:
            raise StaleObservationError(f"no robot state is known yet, asked for stamp {stamp_ns} ns")
        if not self.covers(stamp_ns):
            first_ns, last_ns = self._states[0].stamp_ns, self._states[-1].stamp_ns
            gap_ms = (first_ns - stamp_ns if stamp_ns < first_ns else stamp_ns - last_ns) / 1e6
            side = "before the oldest" if stamp_ns < first_ns else "after the newest"
            raise StaleObservationError(
                f"arm '{self._states[0].arm}': stamp {stamp_ns} ns is {gap_ms:.1f} ms {side} of {len(self)} states"
            )
        upper = bisect_left(self._states, stamp_ns, key=lambda state: state.stamp_ns)
        after = self._states[upper]
        return after if after.stamp_ns == stamp_ns else _between(self._states[upper - 1], after, stamp_ns)


def _between(before: RobotState, after: RobotState, stamp_ns: int) -> RobotState:
    fraction = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    return replace(
        before,
        stamp_ns=stamp_ns,
        q=before.q + fraction * (after.q - before.q),
        dq=before.dq + fraction * (after.dq - before.dq),
        T_base_ee=Transform(blend_transforms(before.T_base_ee.matrix, after.T_base_ee.matrix, np.float64(fraction))),
        gripper_opening=before.gripper_opening + fraction * (after.gripper_opening - before.gripper_opening),
    )
