"""Real demonstrations of an arm, and an honest account of what a log contains.

The log is an array (N, 4 J + 14) float64, one row per sample: stamp in ns; q, dq, torque, external torque (J each);
end effector x, y, z in m; its quaternion x, y, z, w; six columns without meaning.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.errors import RecordingError

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_COLUMNS_PER_JOINT, _OTHER_COLUMNS = 4, 14
_GAP_FACTOR = 3.0
_STILL_RAD_S = 0.01
_MIN_ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFindings:
    """What a log contains and what was left out; counts are rows."""

    rows: int
    rows_used: int
    duration_s: float
    median_period_ms: float
    jitter_p1_ms: float
    jitter_p99_ms: float
    longest_gap_ms: float
    gaps: int
    not_finite: int
    not_increasing: int
    repeated_values: int
    stamp_resolution_ns: float
    still_share: float
    max_speed_rad_s: float
    outside_limits: tuple[str, ...]
    constant_columns: tuple[int, ...]
    quaternion_norm_error: float

    def sentences(self) -> tuple[str, ...]:
        """Return the findings a reader should know, in words."""
        jitter = f"1 % below {self.jitter_p1_ms:.2f}, 1 % above {self.jitter_p99_ms:.2f} ms"
        period = f"every {self.median_period_ms:.2f} ms ({jitter})"
        gaps = f"{self.gaps} gaps above {_GAP_FACTOR:.0f} periods, the longest {self.longest_gap_ms:.1f} ms"
        speed = f"fastest joint {self.max_speed_rad_s:.2f} rad/s"
        dropped = f"{self.not_finite} rows not finite, {self.not_increasing} with a stamp not increasing"
        found = [
            f"{self.rows} rows in {self.duration_s:.2f} s, {period}",
            gaps,
            f"{self.repeated_values} rows repeat the values before them: the logger was faster than its source",
            f"stamps are floating point: {self.stamp_resolution_ns:.0f} ns resolution",
            f"standing still in {100 * self.still_share:.1f} % of the rows; {speed}",
        ]
        if self.rows_used < self.rows:
            found.append(f"left out: {dropped}")
        if self.constant_columns:
            found.append(f"columns {list(self.constant_columns)} never change")
        return (*found, *self.outside_limits, "no gripper and no commanded values are logged")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FrameMatch:
    """How forward kinematics of the logged joints compares with the logged end-effector pose.

    link is the robot's link whose pose is nearest to the logged one.
    """

    link: str
    rms_mm: float
    max_mm: float
    rms_deg: float
    max_deg: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Demonstration:
    """A demonstration of N samples.

    stamps_ns (N,) from 0, strictly increasing; q, dq (N, J) rad, rad/s; logged poses Ts_base_logged (N, 4, 4).
    """

    name: str
    stamps_ns: Times
    q: Float
    dq: Float
    Ts_base_logged: Float
    findings: LogFindings

    def q_at(self, t_ns: Times) -> Float:
        """Return (M, J) rad by linear interpolation; before the first and after the last sample, those are held."""
        inside = np.clip(t_ns, self.stamps_ns[0], self.stamps_ns[-1])
        columns = [np.interp(inside, self.stamps_ns, column) for column in self.q.T]
        return np.stack(columns, axis=1)

    def match_frame(self, kinematics: ArmKinematics) -> FrameMatch:
        """Find the link whose pose equals the logged end-effector pose best."""
        errors = {name: _differences(Ts, self.Ts_base_logged) for name, Ts in kinematics.place_links(self.q).items()}
        link = min(errors, key=lambda name: float(np.sum(errors[name] ** 2)))
        mm, deg = 1e3 * errors[link][:, 0], np.degrees(errors[link][:, 1])
        return FrameMatch(link=link, rms_mm=rms(mm), max_mm=float(mm.max()), rms_deg=rms(deg), max_deg=float(deg.max()))


def load_demonstration(path: Path, arm: ArmSpec) -> Demonstration:
    """Read a log, leave out what is broken, and say so.

    Args:
        path: A `.npy` file.
        arm: The arm it was recorded with; names and limits of its joints.

    Raises:
        RecordingError: If the file is not such a log, or too little of it is usable.
    """
    rows = _read_rows(path, len(arm.joint_names))
    is_finite = np.isfinite(rows).all(axis=1)
    rows_finite = rows[is_finite]
    highest_before = np.maximum.accumulate(np.append(-np.inf, rows_finite[:-1, 0]))
    is_increasing = rows_finite[:, 0] > highest_before
    used = rows_finite[is_increasing]
    if len(used) < _MIN_ROWS:
        raise RecordingError(f"log {path.name}: only {len(used)} of {len(rows)} rows are usable; expected {_MIN_ROWS}")
    joints = len(arm.joint_names)
    pose = used[:, 1 + _COLUMNS_PER_JOINT * joints :]
    Ts_base_logged = np.tile(np.eye(4), (len(used), 1, 1))
    Ts_base_logged[:, :3, 3] = pose[:, :3]
    Ts_base_logged[:, :3, :3] = Rotation.from_quat(pose[:, 3:7]).as_matrix()
    dropped = (int((~is_finite).sum()), int((~is_increasing).sum()))
    return Demonstration(
        name=path.stem,
        stamps_ns=(used[:, 0] - used[0, 0]).astype(np.int64),
        q=used[:, 1 : 1 + joints].copy(),
        dq=used[:, 1 + joints : 1 + 2 * joints].copy(),
        Ts_base_logged=Ts_base_logged,
        findings=_findings(rows, used, dropped, arm),
    )


def rms(values: Float) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def pose_errors(Ts_a_b: Float, Ts_a_c: Float) -> tuple[Float, Float]:
    """Return distances in mm (N,) and angles in degrees (N,) between two pose tracks (N, 4, 4)."""
    differences = _differences(Ts_a_b, Ts_a_c)
    return 1e3 * differences[:, 0], np.degrees(differences[:, 1])


def findings_to_json(findings: LogFindings) -> dict[str, Any]:
    """Return plain values."""
    return {**asdict(findings), "sentences": list(findings.sentences())}


def _read_rows(path: Path, joints: int) -> Float:
    expected = _COLUMNS_PER_JOINT * joints + _OTHER_COLUMNS
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RecordingError(f"log {path} can not be read: {error}; expected a .npy array (N, {expected})") from error
    if rows.ndim != 2 or rows.shape[1] != expected or not np.issubdtype(rows.dtype, np.floating):
        raise RecordingError(
            f"log {path} holds {rows.dtype} {rows.shape}; expected float (N, {expected}) for {joints} joints"
        )
    return np.asarray(rows, dtype=np.float64)


def _differences(Ts_a_b: Float, Ts_a_c: Float) -> Float:
    """(N, 2): distance in m, angle in rad."""
    metres = np.linalg.norm(Ts_a_b[:, :3, 3] - Ts_a_c[:, :3, 3], axis=1)
    R_b_c = Ts_a_b[:, :3, :3].transpose(0, 2, 1) @ Ts_a_c[:, :3, :3]
    return np.stack([metres, np.linalg.norm(Rotation.from_matrix(R_b_c).as_rotvec(), axis=1)], axis=1)


def _findings(rows: Float, used: Float, dropped: tuple[int, int], arm: ArmSpec) -> LogFindings:
    joints = len(arm.joint_names)
    stamps, q, dq = used[:, 0], used[:, 1 : 1 + joints], used[:, 1 + joints : 1 + 2 * joints]
    quaternion = used[:, 4 + _COLUMNS_PER_JOINT * joints : 8 + _COLUMNS_PER_JOINT * joints]
    period_ms = np.diff(stamps) * 1e-6
    is_same = (np.diff(used[:, 1 : 1 + 2 * joints], axis=0) == 0).all(axis=1)
    return LogFindings(
        rows=len(rows),
        rows_used=len(used),
        duration_s=float(stamps[-1] - stamps[0]) * 1e-9,
        median_period_ms=float(np.median(period_ms)),
        jitter_p1_ms=float(np.percentile(period_ms, 1)),
        jitter_p99_ms=float(np.percentile(period_ms, 99)),
        longest_gap_ms=float(period_ms.max()),
        gaps=int((period_ms > _GAP_FACTOR * np.median(period_ms)).sum()),
        not_finite=dropped[0],
        not_increasing=dropped[1],
        repeated_values=int(is_same.sum()),
        stamp_resolution_ns=float(np.spacing(stamps[0])),
        still_share=float((np.abs(dq).max(axis=1) < _STILL_RAD_S).mean()),
        max_speed_rad_s=float(np.abs(dq).max()),
        outside_limits=_outside_limits(q, dq, arm),
        constant_columns=tuple(int(i) for i in np.flatnonzero(np.ptp(used, axis=0) == 0)),
        quaternion_norm_error=float(np.abs(np.linalg.norm(quaternion, axis=1) - 1.0).max()),
    )


def _outside_limits(q: Float, dq: Float, arm: ArmSpec) -> tuple[str, ...]:
    limits = arm.limits
    lowest, highest = limits.velocity_bounds(np.clip(q, limits.q_lower, limits.q_upper))
    found = []
    for joint, name in enumerate(arm.joint_names):
        outside = int(((q[:, joint] < limits.q_lower[joint]) | (q[:, joint] > limits.q_upper[joint])).sum())
        fast = int(((dq[:, joint] < lowest[:, joint]) | (dq[:, joint] > highest[:, joint])).sum())
        if outside:
            found.append(f"{name}: {outside} rows outside [{limits.q_lower[joint]}, {limits.q_upper[joint]}] rad")
        if fast:
            found.append(f"{name}: {fast} rows above the velocity limit, up to {np.abs(dq[:, joint]).max():.3f} rad/s")
    return tuple(found)
