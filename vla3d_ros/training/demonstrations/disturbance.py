"""Somebody leans on the arm: for a moment it goes elsewhere than the teacher wants, and has to recover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.geometry import Transform
from vla3d_ros.training.demonstrations.config import DisturbanceSettings

Float = NDArray[np.float64]

_NS = 1e-9
_REACH_S = 0.25  # a push grows over this much of a chunk: the rest of it is never carried out


class Disturbance:
    """Bursts of constant velocity and turn about the vertical, added to what an arm is told."""

    def __init__(self, settings: DisturbanceSettings, generator: np.random.Generator) -> None:
        """Take bounds and randomness."""
        self._settings = settings
        self._generator = generator
        self._last_ns: int | None = None
        self._end_ns = 0
        self._velocity = np.zeros(3)
        self._turn_rad_s = 0.0

    def is_on(self, stamp_ns: int) -> bool:
        """Whether the arm is pushed at an instant, later than those asked for before."""
        waited_s = 0.0 if self._last_ns is None else (stamp_ns - self._last_ns) * _NS
        self._last_ns = stamp_ns
        if stamp_ns >= self._end_ns and self._generator.random() < self._settings.per_s * waited_s:
            self._begin(stamp_ns)
        return stamp_ns < self._end_ns

    def apply(self, chunk: ActionChunk, T_base_ee: Transform, height_m: float) -> ActionChunk:
        """Return the chunk as it is carried out during a burst.

        Args:
            chunk: Of one arm.
            T_base_ee: Where the arm is at the chunk's stamp.
            height_m: Of its end effector above the table.
        """
        (arm,) = chunk.arms
        velocity = self._velocity.copy()
        if height_m < self._settings.low_m:
            velocity[2] = abs(velocity[2])
        times_s = np.minimum((chunk.due_ns() - chunk.stamp_ns) * _NS, _REACH_S)
        Ts_base_ee = T_base_ee.matrix @ arm.Ts_ee0_ee
        Ts_base_ee[:, :3, 3] += velocity * times_s[:, None]
        Ts_base_ee[:, :3, :3] = (
            Rotation.from_rotvec(times_s[:, None] * [0.0, 0.0, self._turn_rad_s]).as_matrix() @ Ts_base_ee[:, :3, :3]
        )
        pushed = ArmChunk(
            arm=arm.arm,
            Ts_ee0_ee=T_base_ee.inverse().matrix @ Ts_base_ee,
            gripper_opening=np.array(arm.gripper_opening),
        )
        return ActionChunk(stamp_ns=chunk.stamp_ns, dt_ns=chunk.dt_ns, arms=(pushed,), report=chunk.report)

    def _begin(self, stamp_ns: int) -> None:
        settings, generator = self._settings, self._generator
        self._end_ns = stamp_ns + round(generator.uniform(*settings.duration_s) / _NS)
        direction = generator.standard_normal(3)
        self._velocity = generator.uniform(*settings.speed_m_s) * direction / np.linalg.norm(direction)
        self._turn_rad_s = float(generator.uniform(*settings.turn_rad_s) * generator.choice([-1.0, 1.0]))
