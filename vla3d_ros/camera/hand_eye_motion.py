"""Do the poses of a calibration determine it? If not, which motion is missing?

Rotations about a single axis leave the camera's place along that axis open; small rotations leave it to the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

FEWEST_POSES = 6
LEAST_TURN_RAD = np.radians(15.0)
LEAST_TILT_RAD = np.radians(8.0)
_ADVISED_DEG = 20
_UPPER_PERCENTILE = 90.0
_AXES = "xyz"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MotionSpread:
    """How the end effector turned between the poses, in its own frame.

    `turn_rad` is the 90th percentile of the angle between two poses; `axis` (3,) the direction about which it turned
    most; `tilt_rad` the 90th percentile of the rotation about directions perpendicular to it.
    """

    poses: int
    turn_rad: float
    tilt_rad: float
    axis: Float

    def problems(self) -> list[str]:
        """Return one sentence per missing motion; empty if the motion determines a calibration."""
        if self.poses < FEWEST_POSES:
            return [f"{self.poses} poses show the board; expected at least {FEWEST_POSES}, better 15: add poses"]
        if self.turn_rad < LEAST_TURN_RAD:
            text = (
                f"the hand turned by only {np.degrees(self.turn_rad):.1f} deg between poses; expected "
                f"{np.degrees(LEAST_TURN_RAD):.0f} deg or more: add poses turned by {_ADVISED_DEG} to 45 deg about "
                "two different axes"
            )
            return [text]
        if self.tilt_rad < LEAST_TILT_RAD:
            along = _AXES[int(np.abs(self.axis).argmax())]
            others = " and ".join(name for name in _AXES if name != along)
            rounded = np.round(self.axis, 2) + 0.0
            text = (
                f"all rotations are about one axis within {np.degrees(self.tilt_rad):.1f} deg (nearly {along} of the "
                f"end effector, {rounded.tolist()}), which leaves the camera's place along it open; expected "
                f"{np.degrees(LEAST_TILT_RAD):.0f} deg or more about another one: add poses tilted about {others} by "
                f"{_ADVISED_DEG} deg or more"
            )
            return [text]
        return []


def motion_spread(Ts_base_ee: Sequence[Transform]) -> MotionSpread:
    """Measure how the end effector turned between N poses."""
    R = np.stack([T.rotation for T in Ts_base_ee]) if Ts_base_ee else np.zeros((0, 3, 3))
    first, second = np.triu_indices(len(R), k=1)
    if not len(first):
        return MotionSpread(poses=len(R), turn_rad=0.0, tilt_rad=0.0, axis=np.zeros(3))
    vectors = Rotation.from_matrix(R[first].transpose(0, 2, 1) @ R[second]).as_rotvec()
    axis = np.linalg.eigh(vectors.T @ vectors)[1][:, -1]
    across = vectors - np.outer(vectors @ axis, axis)
    turn, tilt = (float(np.percentile(np.linalg.norm(v, axis=1), _UPPER_PERCENTILE)) for v in (vectors, across))
    return MotionSpread(poses=len(R), turn_rad=turn, tilt_rad=tilt, axis=axis * np.sign(axis.sum()))
