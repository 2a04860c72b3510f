"""A slow way to where a recording starts, as chunks: the only way to an arm is that of the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.geometry import Transform, blend_transforms

Float = NDArray[np.float64]
EePoses = Mapping[str, tuple[Transform, float]]
"""T_base_ee and opening (0 closed ... 1 open) by arm."""

SPEED_M_S, TURN_RAD_S = 0.06, 0.3
_PEAK = 1.5  # of the eased motion over its mean
_SHORTEST_S, _SETTLING_S = 0.5, 0.8
_STEPS, _DT_NS = 15, 33_333_333
_NS = 1_000_000_000
MISS_M, MISS_RAD = 0.003, math.radians(1.0)


class Approach:
    """Every arm along the screw from where it is to where it shall be; all set out and arrive together, at rest.

    No arm goes faster than 0.06 m/s and 0.3 rad/s. Chunks are relative to where the arms are measured, and all lead to
    the same path.
    """

    def __init__(self, starts: EePoses, goals: EePoses, start_ns: int) -> None:
        """Plan.

        Args:
            starts: Where the arms are.
            goals: Where they shall be; the same arms.
            start_ns: When they are to set out, ROS clock.
        """
        self._starts, self._goals, self._start_ns = dict(starts), dict(goals), start_ns
        ways = [starts[arm][0].distance_to(goals[arm][0]) for arm in goals]
        self.distance_m, self.turn_rad = max(way[0] for way in ways), max(way[1] for way in ways)
        slowest_s = max(self.distance_m / SPEED_M_S, self.turn_rad / TURN_RAD_S)
        self.duration_s = max(_SHORTEST_S, _PEAK * slowest_s)

    def chunk(self, stamp_ns: int, now: EePoses) -> ActionChunk:
        """Return what is to be done from an instant on.

        Args:
            stamp_ns: When the arms were measured.
            now: Where they were.
        """
        due_ns = stamp_ns - self._start_ns + _DT_NS * np.arange(1, _STEPS + 1)
        share = np.clip(due_ns / _NS / self.duration_s, 0.0, 1.0)
        eased = share**2 * (3.0 - 2.0 * share)
        arms = tuple(self._arm_chunk(arm, now[arm][0], eased) for arm in self._goals)
        return ActionChunk(stamp_ns=stamp_ns, dt_ns=_DT_NS, arms=arms)

    def is_over(self, now_ns: int) -> bool:
        """Whether the arms have had the time to get there and to rest."""
        return now_ns - self._start_ns > (self.duration_s + _SETTLING_S) * _NS

    def misses(self, now: EePoses) -> list[str]:
        """Say which arms are not where they should be, by how much."""
        found = []
        for arm, (T_base_goal, _) in self._goals.items():
            off_m, off_rad = now[arm][0].distance_to(T_base_goal)
            if not (off_m <= MISS_M and off_rad <= MISS_RAD):
                found.append(
                    f"arm '{arm}' is {1e3 * off_m:.1f} mm and {math.degrees(off_rad):.1f} deg from where the recording "
                    f"starts, allowed {1e3 * MISS_M:g} mm and {math.degrees(MISS_RAD):g} deg"
                )
        return found

    def _arm_chunk(self, arm: str, T_base_now: Transform, eased: Float) -> ArmChunk:
        (T_base_start, opening), (T_base_goal, wanted) = self._starts[arm], self._goals[arm]
        shape = (len(eased), 4, 4)
        path = blend_transforms(
            np.broadcast_to(T_base_start.matrix, shape), np.broadcast_to(T_base_goal.matrix, shape), eased
        )
        return ArmChunk(
            arm=arm,
            Ts_ee0_ee=T_base_now.inverse().matrix @ path,
            gripper_opening=np.clip(opening + eased * (wanted - opening), 0.0, 1.0),
        )
