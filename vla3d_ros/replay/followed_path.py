"""How closely an arm went where it went before: two end-effector paths, laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform, interpolate_transforms

Float = NDArray[np.float64]

_NS, _MS = 1_000_000_000, 1_000_000
_LONGEST_LAG_MS, _LAG_STEP_MS = 300, 5


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EePath:
    """Poses of one arm's end effector: stamps_ns (N,) strictly increasing, Ts_base_ee (N, 4, 4), opening (N,) 0..1."""

    arm: str
    stamps_ns: NDArray[np.int64]
    Ts_base_ee: Float
    opening: Float

    @classmethod
    def of(cls, arm: str, samples: Sequence[tuple[int, Transform, float]]) -> EePath:
        """Take (stamp, T_base_ee, opening) in any order; of equal stamps the first counts.

        Raises:
            ShapeError: If there are fewer than two.
        """
        by_stamp: dict[int, tuple[Transform, float]] = {}
        for stamp_ns, T_base_ee, opening in samples:
            by_stamp.setdefault(stamp_ns, (T_base_ee, opening))
        if len(by_stamp) < 2:
            raise ShapeError(f"arm '{arm}': {len(by_stamp)} end-effector states; expected a path of two or more")
        stamps = sorted(by_stamp)
        return cls(
            arm=arm,
            stamps_ns=np.array(stamps, dtype=np.int64),
            Ts_base_ee=np.stack([by_stamp[stamp][0].matrix for stamp in stamps]),
            opening=np.array([by_stamp[stamp][1] for stamp in stamps]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PathComparison:
    """Distances between a path and one it should repeat, once shifted by the lag that brings them closest.

    lag_ms: how much later than recorded the arm was; positions in mm, rotations in degrees, openings as a share 0..1.
    length_mm is that of the recorded path.
    """

    arm: str
    samples: int
    lag_ms: float
    length_mm: float
    position_mean_mm: float
    position_max_mm: float
    position_end_mm: float
    rotation_mean_deg: float
    rotation_max_deg: float
    opening_max: float


def compare_paths(recorded: EePath, followed: EePath, shift_ns: int, start_ns: int, end_ns: int) -> PathComparison:
    """Compare where an arm was with where it had been.

    Args:
        recorded: The path to repeat.
        followed: The path that was made of it.
        shift_ns: What was added to the recording's stamps.
        start_ns: First time to compare, in the recording's stamps.
        end_ns: Last time to compare.

    Raises:
        ShapeError: If the paths have no time in common.
    """
    margin_ns = _LONGEST_LAG_MS * _MS
    begin_ns = max(start_ns, int(followed.stamps_ns[0]) - shift_ns + margin_ns)
    until_ns = min(end_ns, int(followed.stamps_ns[-1]) - shift_ns - margin_ns)
    chosen = (recorded.stamps_ns >= begin_ns) & (recorded.stamps_ns <= until_ns)
    if not chosen.any():
        raise ShapeError(f"arm '{recorded.arm}': the recorded and the followed path have no time in common")
    stamps, wanted = recorded.stamps_ns[chosen], recorded.Ts_base_ee[chosen]
    lags_ms = range(-_LONGEST_LAG_MS, _LONGEST_LAG_MS + 1, _LAG_STEP_MS)
    errors = [_position_rms_m(wanted, followed, stamps + shift_ns + lag * _MS) for lag in lags_ms]
    lag_ms = min(zip(errors, map(abs, lags_ms), lags_ms, strict=True))[2]
    queries = stamps + shift_ns + lag_ms * _MS
    got = interpolate_transforms(followed.stamps_ns, followed.Ts_base_ee, queries)
    position_mm = 1e3 * np.linalg.norm(got[:, :3, 3] - wanted[:, :3, 3], axis=1)
    turned = np.swapaxes(wanted[:, :3, :3], 1, 2) @ got[:, :3, :3]
    rotation_deg = np.degrees(np.arccos(((np.trace(turned, axis1=1, axis2=2) - 1.0) / 2.0).clip(-1.0, 1.0)))
    opening = np.interp(queries, followed.stamps_ns, followed.opening) - recorded.opening[chosen]
    return PathComparison(
        arm=recorded.arm,
        samples=len(stamps),
        lag_ms=float(lag_ms),
        length_mm=1e3 * float(np.linalg.norm(np.diff(wanted[:, :3, 3], axis=0), axis=1).sum()),
        position_mean_mm=float(position_mm.mean()),
        position_max_mm=float(position_mm.max()),
        position_end_mm=float(position_mm[-1]),
        rotation_mean_deg=float(rotation_deg.mean()),
        rotation_max_deg=float(rotation_deg.max()),
        opening_max=float(np.abs(opening).max()),
    )


def _position_rms_m(wanted: Float, followed: EePath, queries_ns: NDArray[np.int64]) -> float:
    p = followed.Ts_base_ee[:, :3, 3]
    got = np.stack([np.interp(queries_ns, followed.stamps_ns, p[:, axis]) for axis in range(3)], axis=1)
    return float(np.sqrt(((got - wanted[:, :3, 3]) ** 2).sum(axis=1).mean()))
