"""Where teleoperation has told one arm to be: continuous from chunk to chunk, never far ahead of the arm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.geometry import Transform, blend_transforms
from vla3d_ros.teleop.motion import Box, MovingPose, Wish, look_ahead, orthonormal, rotation_by, rotation_vector
from vla3d_ros.teleop.settings import TeleopSettings

Float = NDArray[np.float64]


class ArmReference:
    """The commanded pose of one arm.

    A chunk starts where the chunk before it said the arm would be by now, so that consecutive chunks agree, and a hold
    stays at one place although the measured pose sags or lags. Where the arm falls behind further than the leash (at
    the edge of its reach, against a limit), the reference waits for it.
    """

    def __init__(self, settings: TeleopSettings, box: Box | None = None) -> None:
        """Start without a pose.

        Args:
            settings: Limits, leash and the chunk's shape.
            box: Where the reference may go; None for anywhere.
        """
        self._settings = settings
        self._box = box
        self._dt_ns = round(settings.dt_s * 1e9)
        self._stamp_ns = 0
        self._told: list[MovingPose] = []

    def forget(self) -> None:
        """Start from where the arm is, the next time."""
        self._told = []

    def at(self, stamp_ns: int, T_base_ee: Transform) -> MovingPose:
        """Return the reference at an instant, for an arm measured at T_base_ee then."""
        behind_ns = stamp_ns - self._stamp_ns
        if not self._told or not 0 <= behind_ns <= (len(self._told) - 1) * self._dt_ns:
            return MovingPose.at_rest(T_base_ee)
        return self._leashed(self._interpolated(behind_ns / self._dt_ns), T_base_ee)

    def plan(self, stamp_ns: int, T_base_ee: Transform, wish: Wish) -> Float:
        """Decide what to tell the arm from an instant on.

        Args:
            stamp_ns: When the arm was measured at T_base_ee.
            T_base_ee: Where the arm is.
            wish: What the operator wants.

        Returns:
            Ts_ee0_ee (T, 4, 4), relative to T_base_ee.
        """
        s = self._settings
        start = self.at(stamp_ns, T_base_ee)
        self._told = look_ahead(start, wish, s.drive_s, s.steps, s.dt_s, s.limits, self._box)
        self._stamp_ns = stamp_ns
        return T_base_ee.inverse().matrix @ np.stack([pose.T_base_ee for pose in self._told[1:]])

    def _interpolated(self, steps: float) -> MovingPose:
        before = min(int(steps), len(self._told) - 2)
        a, b, share = self._told[before], self._told[before + 1], steps - before
        T = blend_transforms(a.T_base_ee, b.T_base_ee, np.float64(share))
        T[:3, :3] = orthonormal(T[:3, :3])
        return MovingPose(
            T_base_ee=T,
            v=a.v + share * (b.v - a.v),
            w=a.w + share * (b.w - a.w),
        )

    def _leashed(self, pose: MovingPose, T_base_ee: Transform) -> MovingPose:
        """Pull a reference that is too far ahead back to the leash, and stop it from going further."""
        T, v, w = pose.T_base_ee.copy(), pose.v, pose.w
        ahead = T[:3, 3] - T_base_ee.translation
        turned = rotation_vector(T[:3, :3] @ T_base_ee.rotation.T)
        if (far_m := float(np.linalg.norm(ahead))) > self._settings.leash_m:
            away = ahead / far_m
            T[:3, 3] = T_base_ee.translation + self._settings.leash_m * away
            v = v - max(0.0, float(v @ away)) * away
        if (far_rad := float(np.linalg.norm(turned))) > self._settings.leash_rad:
            away = turned / far_rad
            T[:3, :3] = rotation_by(self._settings.leash_rad * away) @ T_base_ee.rotation
            w = w - max(0.0, float(w @ away)) * away
        return MovingPose(T_base_ee=T, v=v, w=w)
