"""A pose that moves as it is wished to, within limits, and ends every look ahead at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.settings import MotionLimits

Float = NDArray[np.float64]

_APPROACH_PER_S = 8.0  # a gap to a wished pose closes at this rate
_SMALL_RAD = 1e-8
_NEARLY_HALF_TURN = -0.9  # cosine
_IDENTITY = np.eye(3)
_APPROACH_SHARE = 0.5  # share of the acceleration that braking before a pose or a wall counts on


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MovingPose:
    """A pose (4, 4) in the base frame, its velocity v (3,) m/s and turning rate w (3,) rad/s, in the base's axes."""

    T_base_ee: Float
    v: Float
    w: Float

    @classmethod
    def at_rest(cls, T_base_ee: Transform) -> MovingPose:
        """Return a pose that does not move."""
        return cls(T_base_ee=T_base_ee.matrix, v=np.zeros(3), w=np.zeros(3))


Wish = Callable[[MovingPose], tuple[Float, Float]]
"""From where the pose is to the velocity and turning rate it should take up."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Box:
    """Where the pose may go: lower and upper corner (3,) m in the base frame."""

    lower_m: Float
    upper_m: Float

    def allow(self, p: Float, v: Float, acceleration: float) -> Float:
        """Return v (3,) m/s, no faster towards a wall than it can stop before it; what is outside may come back."""
        braking = 2.0 * _APPROACH_SHARE / np.sqrt(3.0) * acceleration
        up = np.sqrt(braking * np.maximum(self.upper_m - p, 0.0))
        down = np.sqrt(braking * np.maximum(p - self.lower_m, 0.0))
        allowed: Float = np.minimum(np.maximum(v, -down), up)
        return allowed


def rest(pose: MovingPose) -> tuple[Float, Float]:
    """Wish to stand still."""
    return np.zeros(3), np.zeros(3)


def wish_twist(twist: Float, is_tool: NDArray[np.bool_], limits: MotionLimits, scale: float) -> Wish:
    """Wish for a constant twist.

    Args:
        twist: (6,) shares of full speed.
        is_tool: (6,) which of them are along the tool's axes; the others are along the base's.
        limits: Full speed.
        scale: Share of full speed that a full deflection means.
    """
    speeds = np.repeat([limits.linear_m_s, limits.angular_rad_s], 3)
    wanted = np.clip(twist, -1.0, 1.0) * speeds * scale
    base, tool = np.where(is_tool, 0.0, wanted), np.where(is_tool, wanted, 0.0)

    def wish(pose: MovingPose) -> tuple[Float, Float]:
        R = pose.T_base_ee[:3, :3]
        v, w = base[:3] + R @ tool[:3], base[3:] + R @ tool[3:]
        return capped(v, scale * limits.linear_m_s), capped(w, scale * limits.angular_rad_s)

    return wish


def wish_pose(T_base_target: Transform, limits: MotionLimits) -> Wish:
    """Wish to be at a pose, and at rest there."""

    def wish(pose: MovingPose) -> tuple[Float, Float]:
        gap_m = T_base_target.translation - pose.T_base_ee[:3, 3]
        gap_rad = rotation_vector(T_base_target.rotation @ pose.T_base_ee[:3, :3].T)
        return (
            _approach(gap_m, limits.linear_m_s, limits.linear_m_s2),
            _approach(gap_rad, limits.angular_rad_s, limits.angular_rad_s2),
        )

    return wish


def advance(pose: MovingPose, wish: Wish, seconds: float, limits: MotionLimits, box: Box | None = None) -> MovingPose:
    """Return where the pose is after a while: it takes up the wished velocity as fast as the limits allow."""
    v_wish, w_wish = wish(pose)
    if box is not None:
        v_wish = box.allow(pose.T_base_ee[:3, 3], v_wish, limits.linear_m_s2)
    v = pose.v + capped(v_wish - pose.v, limits.linear_m_s2 * seconds)
    w = pose.w + capped(w_wish - pose.w, limits.angular_rad_s2 * seconds)
    T = np.eye(4)
    T[:3, :3] = rotation_by(0.5 * (pose.w + w) * seconds) @ pose.T_base_ee[:3, :3]
    T[:3, 3] = pose.T_base_ee[:3, 3] + 0.5 * (pose.v + v) * seconds
    return MovingPose(T_base_ee=T, v=v, w=w)


def look_ahead(
    start: MovingPose, wish: Wish, drive_s: float, steps: int, dt_s: float, limits: MotionLimits, box: Box | None = None
) -> list[MovingPose]:
    """Return the start and `steps` poses after it, dt_s apart; the last ones are at rest.

    The wish holds for `drive_s`, less if braking takes the rest of the time; then the pose brakes.
    """
    braking_steps = int(np.ceil(limits.braking_s / dt_s)) + 1
    driven = min(round(drive_s / dt_s), steps - braking_steps)
    poses = [start]
    for step in range(steps):
        poses.append(advance(poses[-1], wish if step < driven else rest, dt_s, limits, box))
    return poses


def rotation_by(vector: Float) -> Float:
    """Return the rotation (3, 3) by a rotation vector (3,) rad. Rodrigues; thirty a chunk, so without ceremony."""
    x, y, z = vector.tolist()
    angle = float(np.sqrt(x * x + y * y + z * z))
    S = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    a = 1.0 if angle < _SMALL_RAD else np.sin(angle) / angle
    b = 0.5 if angle < _SMALL_RAD else (1.0 - np.cos(angle)) / angle**2
    rotation: Float = _IDENTITY + a * S + b * (S @ S)
    return rotation


def rotation_vector(R: Float) -> Float:
    """Return the rotation vector (3,) rad of a rotation (3, 3), the inverse of `rotation_by` below a half turn."""
    cosine = 0.5 * (float(np.trace(R)) - 1.0)
    if cosine < _NEARLY_HALF_TURN:
        far: Float = Rotation.from_matrix(R).as_rotvec()
        return far
    axis = 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    sine = float(np.linalg.norm(axis))
    return axis if sine < _SMALL_RAD else axis * (np.arctan2(sine, cosine) / sine)


def orthonormal(R: Float) -> Float:
    """Return the rotation nearest to R (3, 3), by one Newton step: long products do not drift."""
    nearest: Float = 0.5 * R @ (3.0 * _IDENTITY - R.T @ R)
    return nearest


def capped(vector: Float, longest: float) -> Float:
    """Return the vector, shortened to a length if it is longer."""
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)


def _approach(gap: Float, fastest: float, acceleration: float) -> Float:
    """Return the velocity at which a gap (3,) is closed so that the pose can stop when it is."""
    length = float(np.linalg.norm(gap))
    if length == 0.0:
        return gap
    speed = min(fastest, _APPROACH_PER_S * length, float(np.sqrt(2.0 * _APPROACH_SHARE * acceleration * length)))
    return gap * (speed / length)
