"""How close a trajectory comes to configurations in which the arm can no longer move its tool every way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import JointTrajectory, Reason
from vla3d_ros.safety.collision import ArmGeometry

Float = NDArray[np.float64]

_SAMPLES = 8  # along a trajectory: near a singularity the smallest singular value changes slowly
_TOLERANCE = 1e-4


def check_singularity(trajectory: JointTrajectory, geometry: ArmGeometry, margin: float) -> list[Reason]:
    """Check the smallest singular value of the Jacobian along a trajectory.

    An arm found below the margin may stay there or move away, but not closer.

    Args:
        trajectory: Finite knots, at least two.
        geometry: Gives the Jacobian (6, J), m and rad.
        margin: Least value; 0 = no check.

    Returns:
        A reason with value and limit, or nothing.
    """
    if margin <= 0.0:
        return []
    knots = np.unique(np.linspace(0, len(trajectory.q) - 1, _SAMPLES).round().astype(np.int64))
    values = np.linalg.svd(np.stack([geometry.jacobian(q) for q in trajectory.q[knots]]), compute_uv=False)[:, -1]
    least = min(margin, float(values[0]))
    if values.min() >= least - _TOLERANCE:
        return []
    text = f"arm '{trajectory.arm}' would come to a singular value of {values.min():.4f}, allowed {least:.4f}"
    return [Reason(check="singularity", message=f"{text}; it is nearly stretched out or folded up there")]
