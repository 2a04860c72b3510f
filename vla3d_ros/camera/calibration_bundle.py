"""Robust bundle adjustment of cameras, one board and an arm whose poses are not quite what it reports.

Every camera is mounted on the end effector and sees a board that stands still, or stands still and sees a board on the
end effector. Unknown are the cameras' mounts, the board's pose, and a small error of every reported arm pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.sparse import csr_array

from vla3d_ros.datatypes import CameraModel
from vla3d_ros.geometry import Transform, exp_se3, project
from vla3d_ros.geometry.transform import stack

Float = NDArray[np.float64]
Index = NDArray[np.int64]

_STEP = 1e-6
_TWIST = 6
_ROBUST_SCALE = 3.0  # residuals beyond three standard deviations count linearly
_MOST_EVALUATIONS = 60
_RELATIVE_TOLERANCE = 1e-6
_LINEAR_TOLERANCE = 1e-10
_MOST_LINEAR_STEPS = 2000
_MEDIAN_OF_CHI2 = 0.455  # of one degree of freedom


class Mounting(Enum):
    """Where the camera is: `EYE_IN_HAND` rides on the end effector, `EYE_TO_HAND` stands in the base frame."""

    EYE_IN_HAND = "eye-in-hand"
    EYE_TO_HAND = "eye-to-hand"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sighting:
    """What one camera saw of the board at one arm pose.

    points_board (P, 3) m; observed (P, 2) px, or (P, 3) m in the optical frame if only a pose was measured.
    """

    camera: int
    pose: int
    points_board: Float
    observed: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseModel:
    """Standard deviations: of a corner in the image (px) or in space (m), of a reported arm pose (m, rad)."""

    pixel_px: float = 0.3
    point_m: float = 0.002
    arm_m: float = 0.0005
    arm_rad: float = float(np.radians(0.1))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BundleState:
    """Ts_mount_camera, one per camera, and T_target_board; mount and target are the end effector and the base."""

    Ts_mount_camera: tuple[Transform, ...]
    T_target_board: Transform


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BundleResult:
    """The solution and its standard deviations per camera: sigma_m, sigma_rad (C,), largest direction."""

    state: BundleState
    sigma_m: Float
    sigma_rad: Float


class Bundle:
    """One adjustment problem: C cameras, N reported arm poses, all sightings flattened to M points."""

    def __init__(
        self,
        mounting: Mounting,
        models: Sequence[CameraModel],
        Ts_base_ee: Sequence[Transform],
        sightings: Sequence[Sighting],
        noise: NoiseModel,
    ) -> None:
        """Flatten the sightings.

        Args:
            mounting: How all cameras are mounted.
            models: Intrinsics of the cameras.
            Ts_base_ee: Reported arm poses.
            sightings: At least one; all of the same kind (pixels or points).
            noise: Weights of what was measured.
        """
        self._mounting, self._models, self._noise = mounting, tuple(models), noise
        self._Ts_base_ee = stack(Ts_base_ee)
        self._Ts_ee_base = np.linalg.inv(self._Ts_base_ee)
        counts = [len(s.points_board) for s in sightings]
        self.camera_of: Index = np.repeat([s.camera for s in sightings], counts).astype(np.int64)
        self.pose_of: Index = np.repeat([s.pose for s in sightings], counts).astype(np.int64)
        self.sighting_of: Index = np.repeat(np.arange(len(sightings)), counts).astype(np.int64)
        self._points = np.concatenate([s.points_board for s in sightings])
        self._observed = np.concatenate([s.observed for s in sightings])
        self._is_pixels = self._observed.shape[1] == 2

    def predict(self, state: BundleState, arm_errors: Float | None = None) -> tuple[Float, Float]:
        """Predict the observations.

        Args:
            state: Mounts and board.
            arm_errors: (N, 6) twists in the end effector's frame, true pose = reported pose @ exp; none by default.

        Returns:
            (M, 2) px or (M, 3) m as observed, and (M, 3) m in the optical frame of the camera concerned.
        """
        errors = np.zeros((len(self._Ts_base_ee), _TWIST)) if arm_errors is None else arm_errors
        if self._mounting is Mounting.EYE_IN_HAND:
            Ts_mount_target = exp_se3(-errors) @ self._Ts_ee_base
        else:
            Ts_mount_target = self._Ts_base_ee @ exp_se3(errors)
        Ts_mount_board = Ts_mount_target @ state.T_target_board.matrix
        Ts_camera_mount = np.linalg.inv(stack(state.Ts_mount_camera))
        T = Ts_camera_mount[self.camera_of] @ Ts_mount_board[self.pose_of]
        points_camera = np.einsum("mij,mj->mi", T[:, :3, :3], self._points) + T[:, :3, 3]
        return (self._project(points_camera) if self._is_pixels else points_camera), points_camera

    def point_errors(self, state: BundleState) -> tuple[Float, Float]:
        """Return (M,) errors as observed (px or m), and (M,) in mm at the point's distance, at the reported poses."""
        predicted, points_camera = self.predict(state)
        errors = np.linalg.norm(predicted - self._observed, axis=1)
        if not self._is_pixels:
            return errors, 1e3 * errors
        focal_px = np.array([(m.K[0, 0] + m.K[1, 1]) / 2 for m in self._models])[self.camera_of]
        return errors, 1e3 * errors * points_camera[:, 2] / focal_px

    def sighting_errors(self, state: BundleState) -> Float:
        """Return the root mean square error of every sighting (S,), px or m; infinite behind the camera."""
        errors, _ = self.point_errors(state)
        squares = np.where(np.isfinite(errors), errors, np.inf) ** 2
        counts = np.bincount(self.sighting_of)
        rms: Float = np.sqrt(np.bincount(self.sighting_of, weights=squares) / counts)
        return rms

    def adjust(self, start: BundleState) -> BundleResult:
        """Refine from a first guess with `scipy.optimize.least_squares` and a robust loss."""
        cameras, poses = len(start.Ts_mount_camera), len(self._Ts_base_ee)
        x0 = np.zeros(_TWIST * (cameras + 1 + poses))
        solution = least_squares(
            lambda x: self._residuals(start, x),
            x0,
            jac=lambda x: csr_array(self._jacobian(start, x)),
            tr_solver="lsmr",
            tr_options={"atol": _LINEAR_TOLERANCE, "btol": _LINEAR_TOLERANCE, "maxiter": _MOST_LINEAR_STEPS},
            x_scale="jac",
            loss="soft_l1",
            f_scale=_ROBUST_SCALE,
            max_nfev=_MOST_EVALUATIONS,
            ftol=_RELATIVE_TOLERANCE,
        )
        J, residuals = solution.jac.toarray(), self._residuals(start, solution.x)
        covariance = np.linalg.pinv(J.T @ J, hermitian=True) * max(
            1.0, float(np.median(residuals**2)) / _MEDIAN_OF_CHI2
        )
        blocks = [covariance[i : i + _TWIST, i : i + _TWIST] for i in range(0, _TWIST * cameras, _TWIST)]
        state, _ = _moved(start, solution.x, poses)
        return BundleResult(
            state=state,
            sigma_m=np.array([_largest_sigma(block[:3, :3]) for block in blocks]),
            sigma_rad=np.array([_largest_sigma(block[3:, 3:]) for block in blocks]),
        )

    def _project(self, points_camera: Float) -> Float:
        pixels = np.empty((len(points_camera), 2))
        for index, model in enumerate(self._models):
            mine = self.camera_of == index
            pixels[mine] = project(points_camera[mine], model.K, model.distortion)
        return pixels

    def _residuals(self, start: BundleState, x: Float) -> Float:
        noise = self._noise
        state, errors = _moved(start, x, len(self._Ts_base_ee))
        predicted, _ = self.predict(state, errors)
        sigma = noise.pixel_px if self._is_pixels else noise.point_m
        # A point behind a camera must repel, not vanish.
        measured = np.nan_to_num((predicted - self._observed) / sigma, nan=1e6)
        scale = np.array([noise.arm_m] * 3 + [noise.arm_rad] * 3)
        return np.concatenate([measured.ravel(), (errors / scale).ravel()])

    def _jacobian(self, start: BundleState, x: Float) -> Float:
        """Forward differences; all arm errors are varied at once, each acts only on its own pose's points."""
        base = self._residuals(start, x)
        J = np.zeros((len(base), len(x)))
        shared = len(x) - _TWIST * len(self._Ts_base_ee)
        for column in range(shared):
            J[:, column] = (self._residuals(start, _stepped(x, column)) - base) / _STEP
        dimensions = self._observed.shape[1]
        row_pose = np.concatenate(
            [np.repeat(self.pose_of, dimensions), np.repeat(np.arange(len(self._Ts_base_ee)), _TWIST)]
        )
        rows = np.arange(len(base))
        for axis in range(_TWIST):
            change = (self._residuals(start, _stepped(x, slice(shared + axis, None, _TWIST))) - base) / _STEP
            J[rows, shared + _TWIST * row_pose + axis] = change
        return J


def _stepped(x: Float, where: int | slice) -> Float:
    moved: Float = x.copy()
    moved[where] += _STEP
    return moved


def _moved(start: BundleState, x: Float, poses: int) -> tuple[BundleState, Float]:
    """Apply a parameter vector: twists of the cameras, of the board, errors of the arm poses."""
    twists = x.reshape(-1, _TWIST)
    steps = exp_se3(twists[: len(twists) - poses])
    *cameras, board = [
        T @ Transform(step) for T, step in zip((*start.Ts_mount_camera, start.T_target_board), steps, strict=True)
    ]
    return BundleState(Ts_mount_camera=tuple(cameras), T_target_board=board), twists[len(twists) - poses :]


def _largest_sigma(covariance: Float) -> float:
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(covariance)[-1])))
