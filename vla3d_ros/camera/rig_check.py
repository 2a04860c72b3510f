"""Is the rig what its file says? Cameras alive, intrinsics theirs, calibration recent, and the robot where it is seen.

The last is the proof: the robot's outline, known from joint angles and URDF, is compared with the edges in each image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.outline_fit import OutlineFit, RobotFrame, fit_outline
from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.camera.robot_shape import RobotShape
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.geometry import project, unproject

Float = NDArray[np.float64]

RENDERED_SOURCE = "twin"

_NARROWEST_RAD = math.radians(15.0)
_WIDEST_RAD = math.radians(140.0)
_ASPECT = 0.03
_CORNER_PX = 1.0
_SURE = 6.0  # standard deviations
_FEWEST_PREDICTED = 40  # samples of the outline, 4 px apart


class Status(Enum):
    """Verdict of one check, in order of severity."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class RigCheckLimits:
    """From where on a rig is refused.

    `error_px` is the allowed displacement of the robot's outline; a finding counts as measured if the camera's place
    is determined within `sigma_m` and `sigma_rad`; `support` is the least share of the outline that must have an edge.
    """

    error_px: float = 1.5
    support: float = 0.5
    sigma_m: float = 0.005
    sigma_rad: float = math.radians(0.5)
    rate_share: float = 0.9
    least_rate_share: float = 0.5
    age_days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of one camera: its name, the verdict, and a sentence with value, expectation and remedy."""

    check: str
    status: Status
    message: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraEvidence:
    """What was seen of one camera.

    frames: images with the robot's poses; rate_hz: measured rate, None if the images were made to order; reported:
    intrinsics that came with the images, None if none came.
    """

    frames: Sequence[RobotFrame]
    rate_hz: float | None
    reported: CameraModel | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraCheck:
    """All findings about one camera."""

    camera: str
    findings: tuple[Finding, ...]
    fit: OutlineFit | None

    @property
    def status(self) -> Status:
        """The worst of the findings."""
        order = list(Status)
        return max((finding.status for finding in self.findings), key=order.index)


def check_camera(
    spec: CameraSpec,
    evidence: CameraEvidence,
    shapes: Sequence[RobotShape],
    *,
    expected_rate_hz: float,
    today: date,
    limits: RigCheckLimits,
) -> CameraCheck:
    """Check one camera of a rig.

    Args:
        spec: What the rig file says.
        evidence: What was seen.
        shapes: Solids of the robot.
        expected_rate_hz: The rig's rate.
        today: For the calibration's age.
        limits: From where on to refuse.
    """
    findings = [_check_alive(evidence, expected_rate_hz, limits), *_check_intrinsics(spec.model, evidence.reported)]
    fit = fit_outline(evidence.frames, shapes, spec.model, spec.mount.T_parent_camera) if evidence.frames else None
    reprojection = _check_reprojection(fit, limits) if fit else None
    findings.append(_check_age(spec, today, limits, is_confirmed=bool(reprojection and _is_pass(reprojection))))
    if reprojection:
        findings.append(reprojection)
    return CameraCheck(camera=spec.name, findings=tuple(findings), fit=fit)


def _is_pass(finding: Finding) -> bool:
    return finding.status is Status.PASS


def _check_alive(evidence: CameraEvidence, expected_hz: float, limits: RigCheckLimits) -> Finding:
    if not evidence.frames:
        return _fail("alive", "no image came; check power, cable, serial number and the camera node's diagnostics")
    if evidence.rate_hz is None:
        return _pass("alive", f"{len(evidence.frames)} images were rendered for this check")
    text = f"{evidence.rate_hz:.1f} images/s, expected {expected_hz:g}"
    if evidence.rate_hz < limits.least_rate_share * expected_hz:
        return _fail("alive", f"{text}; check the USB port's speed, exposure time and the load of this machine")
    if evidence.rate_hz < limits.rate_share * expected_hz:
        return _warn("alive", f"{text}; long exposure or a slow USB port slows a camera")
    return _pass("alive", text)


def _check_intrinsics(model: CameraModel, reported: CameraModel | None) -> list[Finding]:
    K = model.K
    view_rad = 2.0 * math.atan2(model.width_px, 2.0 * K[0, 0])
    text = f"{math.degrees(view_rad):.0f} deg wide at {model.width_px}x{model.height_px} px"
    if not _NARROWEST_RAD < view_rad < _WIDEST_RAD:
        return [_fail("intrinsics", f"{text} is no usual lens; are width, height and K of the same image size?")]
    if abs(K[0, 0] / K[1, 1] - 1.0) > _ASPECT:
        ratio = K[0, 0] / K[1, 1]
        return [_fail("intrinsics", f"fx / fy is {ratio:.3f}, expected 1 within {_ASPECT}: was the image stretched?")]
    if reported is None:
        return [_pass("intrinsics", text)]
    if (reported.width_px, reported.height_px) != (model.width_px, model.height_px):
        got = f"{reported.width_px}x{reported.height_px}"
        return [_fail("intrinsics", f"the camera sends {got} px, the rig file says {text}; calibrate at that size")]
    shift_px = _corner_shift_px(model, reported)
    if shift_px > _CORNER_PX:
        difference = f"K in use and K in the rig file differ by {shift_px:.1f} px at the image's corners"
        return [_fail("intrinsics", f"{difference}, allowed {_CORNER_PX:g}; update the rig file")]
    return [_pass("intrinsics", f"{text}, as published within {shift_px:.2f} px")]


def _corner_shift_px(model: CameraModel, reported: CameraModel) -> float:
    right, bottom = model.width_px - 1.0, model.height_px - 1.0
    corners = np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])
    seen = project(unproject(corners, model.K, model.distortion), reported.K, reported.distortion)
    return float(np.linalg.norm(seen - corners, axis=1).max())


def _check_age(spec: CameraSpec, today: date, limits: RigCheckLimits, *, is_confirmed: bool) -> Finding:
    if spec.source == RENDERED_SOURCE:
        return _pass("calibration", "exempt: the twin renders this camera with the rig file's numbers")
    record = spec.calibration.get("extrinsics")
    if record is None:
        text = "no record of an extrinsic calibration in the rig file"
    else:
        days = (today - record.date).days
        text = f"{record.method} of {record.date.isoformat()}, {days} days old, {record.views} views"
        if record.forced:
            return _warn("calibration", f"{text}; it was worse than the threshold and forced: calibrate again")
        if days <= limits.age_days:
            return _pass("calibration", text)
    if is_confirmed:
        return _pass("calibration", f"{text}; confirmed by today's images")
    return _warn("calibration", f"{text}, allowed {limits.age_days} days; run `vla3d calibrate`, or confirm by images")


def _check_reprojection(fit: OutlineFit, limits: RigCheckLimits) -> Finding:
    if fit.predicted < _FEWEST_PREDICTED:
        return _warn("reprojection", f"the robot is not in view ({fit.predicted} outline samples); move it into view")
    if fit.support < limits.support or math.isnan(fit.error_px):
        share = f"only {100 * fit.support:.0f} % of the robot's outline has an edge in the images"
        return _fail(
            "reprojection",
            f"{share}, expected {100 * limits.support:.0f} %: the camera was moved far, its image is bad, or the "
            "joint states are not this robot's; calibrate the extrinsics",
        )
    moved = f"{1e3 * fit.shift_m:.1f} mm and {math.degrees(fit.turn_rad):.2f} deg"
    known = f"± {1e3 * fit.sigma_m:.1f} mm, {math.degrees(fit.sigma_rad):.2f} deg"
    text = f"the robot's outline is {fit.error_px:.2f} px from where it should be, allowed {limits.error_px:g}"
    if fit.error_px > limits.error_px and fit.significance > _SURE:
        return _fail("reprojection", f"{text}: the camera moved by {moved} ({known}); calibrate the extrinsics")
    if fit.sigma_m > limits.sigma_m or fit.sigma_rad > limits.sigma_rad:
        return _warn("reprojection", f"{text}, but so little of it is seen that this is known only {known}: move it")
    if fit.error_px > limits.error_px:
        return _warn("reprojection", f"{text} ({known})")
    return _pass("reprojection", f"{text}; the camera is where the file says within {moved} ({known})")


def _pass(check: str, message: str) -> Finding:
    return Finding(check=check, status=Status.PASS, message=message)


def _warn(check: str, message: str) -> Finding:
    return Finding(check=check, status=Status.WARN, message=message)


def _fail(check: str, message: str) -> Finding:
    return Finding(check=check, status=Status.FAIL, message=message)
