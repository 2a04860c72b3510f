"""Hand-eye calibration: where a camera sits on the hand, or where a fixed camera stands in the robot's base.

Several closed-form solvers vote inside RANSAC over views, then everything is refined together over the reprojection of
the board's corners. The error that is reported is that of views which were held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.calibration_bundle import BundleState, Mounting, NoiseModel
from vla3d_ros.camera.hand_eye_motion import FEWEST_POSES, MotionSpread, motion_spread
from vla3d_ros.camera.hand_eye_ransac import HandEyeProblem, HandEyeSample, find_start
from vla3d_ros.camera.hand_eye_solvers import SOLVERS
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import CalibrationError, join_problems
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FOLDS = 5
_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutError:
    """Error of views that took no part in the fit: `unit` is px or mm for `rms` and `worst_view`, plus RMS in mm."""

    unit: str
    rms: float
    worst_view: float
    rms_mm: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HandEyeCalibration:
    """Result: T_mount_camera (mount = end effector or base), T_target_board (target = the other one).

    `inliers` (N,) are the views that agree; `sigma_m`, `sigma_rad` the standard deviation in the least certain
    direction; `solver_spread` the distance (m, rad) of each closed-form solution from the result.
    """

    mounting: Mounting
    T_mount_camera: Transform
    T_target_board: Transform
    inliers: Mask
    held_out: HeldOutError
    sigma_m: float
    sigma_rad: float
    motion: MotionSpread
    solver_spread: Mapping[str, tuple[float, float]]


def calibrate_hand_eye(
    samples: Sequence[HandEyeSample],
    model: CameraModel | None,
    mounting: Mounting,
    generator: np.random.Generator,
    noise: NoiseModel | None = None,
) -> HandEyeCalibration:
    """Calibrate one camera.

    Args:
        samples: One per arm pose; all with pixels, or all from poses.
        model: Intrinsics; None if the samples have no pixels.
        mounting: Eye in hand or eye to hand.
        generator: For RANSAC and the held-out split.
        noise: What the measurements are worth.

    Raises:
        CalibrationError: If the motion does not determine the calibration (says which motion is missing), or if most
            views contradict each other.
    """
    require_motion([sample.T_base_ee for sample in samples], "hand-eye calibration")
    problem = HandEyeProblem(samples, model, mounting, noise or NoiseModel())
    best = find_start(problem, generator)
    inliers = problem.inliers(best)
    for _ in range(_ROUNDS):
        _require_agreement(problem, inliers)
        refined = problem.adjust(inliers, best)
        found = problem.inliers(refined.state)
        best, settled = refined.state, np.array_equal(found, inliers)
        inliers = found
        if settled:
            break
    _require_agreement(problem, inliers)
    used = np.flatnonzero(inliers)
    chosen = [samples[int(i)].T_base_ee for i in used]
    require_motion(chosen, "the views that agree")
    return HandEyeCalibration(
        mounting=mounting,
        T_mount_camera=best.Ts_mount_camera[0],
        T_target_board=best.T_target_board,
        inliers=inliers,
        held_out=_held_out(problem, used, best, generator),
        sigma_m=float(refined.sigma_m[0]),
        sigma_rad=float(refined.sigma_rad[0]),
        motion=motion_spread(chosen),
        solver_spread=_solver_spread(problem, used, best),
    )


def _held_out(
    problem: HandEyeProblem, used: NDArray[np.int64], state: BundleState, generator: np.random.Generator
) -> HeldOutError:
    """Fit without a part of the views, measure on that part; every view is left out once."""
    parts = np.array_split(generator.permutation(used), min(_FOLDS, len(used)))
    points, points_mm, views = [], [], []
    for part in parts:
        kept = np.zeros(len(problem), dtype=bool)
        kept[np.setdiff1d(used, part)] = True
        errors, errors_mm, view_errors = problem.errors(part, problem.adjust(kept, state).state)
        points.append(errors)
        points_mm.append(errors_mm)
        views.append(view_errors)
    scale = 1.0 if problem.is_pixels else 1e3
    return HeldOutError(
        unit="px" if problem.is_pixels else "mm",
        rms=scale * _rms(np.concatenate(points)),
        worst_view=scale * float(np.max(np.concatenate(views))),
        rms_mm=_rms(np.concatenate(points_mm)),
    )


def _solver_spread(
    problem: HandEyeProblem, used: NDArray[np.int64], state: BundleState
) -> dict[str, tuple[float, float]]:
    solved = {name: problem.solve(name, used) for name in SOLVERS}
    return {
        name: found.Ts_mount_camera[0].distance_to(state.Ts_mount_camera[0])
        for name, found in solved.items()
        if found is not None
    }


def require_motion(Ts_base_ee: Sequence[Transform], subject: str) -> None:
    """Refuse poses that do not determine a calibration.

    Raises:
        CalibrationError: Says which motion is missing.
    """
    problems = motion_spread(Ts_base_ee).problems()
    if problems:
        raise CalibrationError(join_problems(subject, problems))


def _require_agreement(problem: HandEyeProblem, inliers: Mask) -> None:
    needed = max(FEWEST_POSES, (len(problem) + 1) // 2)
    if inliers.sum() < needed:
        unit = "px" if problem.is_pixels else "m"
        raise CalibrationError(
            f"only {inliers.sum()} of {len(problem)} views agree within {problem.widest_error:g} {unit}; expected "
            f"{needed}: check that poses and images belong together, that the arm stood still, that the board's "
            "square size and the intrinsics are right, and that eye-in-hand and eye-to-hand were not mixed up"
        )


def _rms(values: Float) -> float:
    return float(np.sqrt(np.mean(values**2)))
