"""What a calibration is worth: thresholds below which it may be used, and the record that goes into the rig file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from vla3d_ros.camera.calibration_record import CalibrationRecord
from vla3d_ros.camera.hand_eye import HeldOutError
from vla3d_ros.camera.intrinsics import IntrinsicsCalibration
from vla3d_ros.errors import CalibrationError, join_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationLimits:
    """The worst calibration that is accepted: held-out errors, and standard deviations of an extrinsic one."""

    intrinsics_px: float = 0.5
    extrinsics_mm: float = 3.0
    sigma_mm: float = 2.0
    sigma_deg: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtrinsicFigures:
    """What matters of a hand-eye or extrinsic calibration."""

    held_out: HeldOutError
    sigma_m: float
    sigma_rad: float
    views: int
    views_used: int


def extrinsic_problems(figures: ExtrinsicFigures, limits: CalibrationLimits) -> list[str]:
    """Return why an extrinsic calibration should not be used; empty if it may."""
    sigma_mm, sigma_deg = 1e3 * figures.sigma_m, float(np.degrees(figures.sigma_rad))
    problems = []
    if figures.held_out.rms_mm > limits.extrinsics_mm:
        problems.append(
            f"held-out views miss by {figures.held_out.rms_mm:.2f} mm, allowed {limits.extrinsics_mm:g}: check square "
            "size and intrinsics, let the arm come to rest before every image, and look for a loose board or camera"
        )
    if sigma_mm > limits.sigma_mm or sigma_deg > limits.sigma_deg:
        problems.append(
            f"the pose is known within {sigma_mm:.2f} mm and {sigma_deg:.3f} deg (one sigma), allowed "
            f"{limits.sigma_mm:g} mm and {limits.sigma_deg:g} deg: add poses, with more tilt and closer to the camera"
        )
    return problems


def intrinsic_problems(calibration: IntrinsicsCalibration, limits: CalibrationLimits) -> list[str]:
    """Return why an intrinsic calibration should not be used; empty if it may."""
    if calibration.held_out_px <= limits.intrinsics_px:
        return []
    text = (
        f"held-out views miss by {calibration.held_out_px:.2f} px, allowed {limits.intrinsics_px:g}: hold the board "
        "still, check that it is flat, and use images without blur"
    )
    return [text]


def require_good(subject: str, problems: Sequence[str], *, force: bool) -> None:
    """Refuse a bad calibration unless forced.

    Raises:
        CalibrationError: With all problems, and how to insist.
    """
    if problems and not force:
        raise CalibrationError(f"{join_problems(subject, problems)}\nnothing was written; --force writes it anyway")


def extrinsic_record(
    figures: ExtrinsicFigures, *, method: str, board: str, robot: str, today: date, forced: bool
) -> CalibrationRecord:
    """Make the rig file's record of an extrinsic calibration."""
    return CalibrationRecord(
        date=today,
        method=method,
        board=board,
        robot=robot,
        views=figures.views_used,
        error_px=figures.held_out.rms if figures.held_out.unit == "px" else None,
        error_mm=figures.held_out.rms_mm,
        sigma_mm=1e3 * figures.sigma_m,
        sigma_deg=float(np.degrees(figures.sigma_rad)),
        forced=forced,
    )


def intrinsic_record(calibration: IntrinsicsCalibration, *, board: str, today: date, forced: bool) -> CalibrationRecord:
    """Make the rig file's record of an intrinsic calibration."""
    return CalibrationRecord(
        date=today,
        method="intrinsics",
        board=board,
        views=int(calibration.used.sum()),
        error_px=calibration.held_out_px,
        forced=forced,
    )
