"""Where the arm's body may be: above the table, its tool inside a box, and not too fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import JointTrajectory, Reason

Float = NDArray[np.float64]

_TOLERANCE_M = 5e-4
_AXES = "xyz"


class ArmGeometry(Protocol):
    """What the gate must know of an arm's shape; handed in, so that safety depends on no kinematics."""

    body_links: tuple[str, ...]
    body_radii: Float
    body_is_finger: NDArray[np.bool_]

    def forward_bodies(self, q: Float) -> tuple[Float, Float]:
        """Return Ts_base_ee (T, 4, 4) and collision points (T, P, 3) m for q (T, J)."""
        ...

    def jacobian(self, q: Float) -> Float:
        """Return the (6, J) Jacobian of the end effector at q (J,), m and rad."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceLimits:
    """Bounds in the arm's base frame: box of the end effector (m), table height, clearances (m), speeds."""

    workspace_lower_m: tuple[float, float, float]
    workspace_upper_m: tuple[float, float, float]
    table_z_m: float
    link_clearance_m: float
    tip_clearance_m: float
    ee_speed_m_s: float
    ee_turn_rad_s: float


def check_space(trajectory: JointTrajectory, geometry: ArmGeometry, limits: SpaceLimits) -> list[Reason]:
    """Check the knots of a trajectory against table, workspace and speed.

    What is out of bounds already at the first knot may stay there or come back, but not get worse: otherwise an arm
    that was left outside could never be moved home.

    Args:
        trajectory: Finite knots, at least two.
        geometry: Forward kinematics and collision points.
        limits: The bounds.

    Returns:
        Reasons with value and limit; empty if there is none.
    """
    Ts_base_ee, points = geometry.forward_bodies(trajectory.q)
    return [
        *_check_table(points, geometry, limits),
        *_check_workspace(Ts_base_ee[:, :3, 3], limits),
        *_check_speed(trajectory.times_ns, Ts_base_ee, limits),
    ]


def _check_table(points: Float, geometry: ArmGeometry, limits: SpaceLimits) -> list[Reason]:
    clearance = np.where(geometry.body_is_finger, limits.tip_clearance_m, limits.link_clearance_m)
    gap = points[..., 2] - geometry.body_radii - limits.table_z_m
    least = np.minimum(clearance, gap[0])
    shortfall = least - gap
    if shortfall.max() <= _TOLERANCE_M:
        return []
    at, point = np.unravel_index(int(shortfall.argmax()), shortfall.shape)
    text = f"link '{geometry.body_links[point]}' would come to {1e3 * gap[at, point]:.1f} mm above the table"
    return [Reason(check="table", message=f"{text}, allowed {1e3 * least[point]:.1f} mm")]


def _check_workspace(p_base_ee: Float, limits: SpaceLimits) -> list[Reason]:
    lower, upper = np.array(limits.workspace_lower_m), np.array(limits.workspace_upper_m)
    outside = np.maximum(p_base_ee - upper, lower - p_base_ee)
    excess = outside - np.maximum(outside[0], 0.0)
    if excess.max() <= _TOLERANCE_M:
        return []
    at, axis = np.unravel_index(int(excess.argmax()), excess.shape)
    text = f"end effector would reach {_AXES[axis]} = {p_base_ee[at, axis]:.3f} m"
    return [Reason(check="workspace", message=f"{text}, allowed [{lower[axis]:.3f}, {upper[axis]:.3f}] m")]


def _check_speed(times_ns: NDArray[np.int64], Ts_base_ee: Float, limits: SpaceLimits) -> list[Reason]:
    seconds = np.diff(times_ns) * 1e-9
    speed = np.linalg.norm(np.diff(Ts_base_ee[:, :3, 3], axis=0), axis=1) / seconds
    R = Ts_base_ee[:, :3, :3]
    turn = np.linalg.norm(Rotation.from_matrix(R[:-1].transpose(0, 2, 1) @ R[1:]).as_rotvec(), axis=1) / seconds
    reasons = []
    if speed.max() > limits.ee_speed_m_s:
        text = f"end effector would move at {speed.max():.3f} m/s, allowed {limits.ee_speed_m_s:.3f} m/s"
        reasons.append(Reason(check="ee_speed", message=text))
    if turn.max() > limits.ee_turn_rad_s:
        text = f"end effector would turn at {turn.max():.3f} rad/s, allowed {limits.ee_turn_rad_s:.3f} rad/s"
        reasons.append(Reason(check="ee_turn", message=text))
    return reasons
