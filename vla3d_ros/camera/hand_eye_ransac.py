"""Robust first guess of a hand-eye calibration: closed forms inside RANSAC over views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.camera.calibration_bundle import Bundle, BundleResult, BundleState, Mounting, NoiseModel, Sighting
from vla3d_ros.camera.hand_eye_solvers import SOLVERS
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import CalibrationError
from vla3d_ros.geometry import Transform
from vla3d_ros.geometry.transform import stack

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

_HYPOTHESES = 150
_VIEWS_PER_HYPOTHESIS = 4
_INLIER_PX = 8.0  # agreement that needs no explanation: arms of a few millimetres absolute accuracy
_INLIER_M = 0.02
_WIDEST = 4.0  # times the above: beyond this a view is wrong, however bad the others are
_MEDIANS = 3.0
_LEAST_TURN_RAD = np.radians(3.0)
_MOST_TURN_RAD = np.radians(175.0)  # at half a turn the axis has no sign
_POSE_POINTS_M = 0.1 * np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HandEyeSample:
    """One arm pose and what the camera saw there: points_board (P, 3) m, observed (P, 2) px or (P, 3) m."""

    T_base_ee: Transform
    T_camera_board: Transform
    points_board: Float
    observed: Float

    @classmethod
    def from_poses(cls, T_base_ee: Transform, T_camera_board: Transform) -> HandEyeSample:
        """Make a sample of which only the board's pose is known: its error counts at points 0.1 m from the origin."""
        return cls(
            T_base_ee=T_base_ee,
            T_camera_board=T_camera_board,
            points_board=_POSE_POINTS_M,
            observed=T_camera_board.apply(_POSE_POINTS_M),
        )


class HandEyeProblem:
    """The samples as motions (for closed forms) and as sightings (for the adjustment)."""

    def __init__(
        self, samples: Sequence[HandEyeSample], model: CameraModel | None, mounting: Mounting, noise: NoiseModel
    ) -> None:
        self._samples, self._mounting, self._noise = tuple(samples), mounting, noise
        self._models = [model] if model else []
        self.is_pixels = samples[0].observed.shape[1] == 2
        if self.is_pixels and model is None:
            raise CalibrationError("the samples have pixels but no camera model came with them; pass the intrinsics")
        Ts_base_ee = stack([sample.T_base_ee for sample in samples])
        in_hand = mounting is Mounting.EYE_IN_HAND
        self._Ts_target_mount = Ts_base_ee if in_hand else np.linalg.inv(Ts_base_ee)
        self._Ts_camera_board = stack([sample.T_camera_board for sample in samples])
        self._all = self._bundle(np.arange(len(samples)))

    @property
    def widest_error(self) -> float:
        """Error in px or m beyond which a view is wrong, however bad the others are."""
        return _WIDEST * self.inlier_limit

    def __len__(self) -> int:
        return len(self._samples)

    def solve(self, solver: str, views: NDArray[np.int64]) -> BundleState | None:
        """Solve AX = XB over all pairs of the views; None if they are degenerate for this solver."""
        i, j = (views[index] for index in np.triu_indices(len(views), k=1))
        G, C = self._Ts_target_mount, self._Ts_camera_board
        A, B = np.linalg.inv(G[j]) @ G[i], C[j] @ np.linalg.inv(C[i])
        turn = Rotation.from_matrix(A[:, :3, :3]).magnitude()
        usable = (turn > _LEAST_TURN_RAD) & (turn < _MOST_TURN_RAD)
        if usable.sum() < 2:
            return None
        try:
            X = SOLVERS[solver](A[usable], B[usable])
        except (np.linalg.LinAlgError, ValueError):  # degenerate for this closed form; RANSAC has others
            return None
        Y = G[views] @ X.matrix @ C[views]
        R = Rotation.from_matrix(Y[:, :3, :3]).mean().as_matrix()
        board = Transform.from_rotation(R, np.median(Y[:, :3, 3], axis=0))
        return BundleState(Ts_mount_camera=(X,), T_target_board=board)

    def view_errors(self, state: BundleState) -> Float:
        """Return the RMS error of every view (N,), px or m."""
        return self._all.sighting_errors(state)

    @property
    def inlier_limit(self) -> float:
        """Error in px or m within which a view always agrees."""
        return _INLIER_PX if self.is_pixels else _INLIER_M

    def inliers(self, state: BundleState) -> Mask:
        """Views within the limit, or within three times the median error if the whole set is less accurate."""
        errors = self.view_errors(state)
        typical = _MEDIANS * float(np.median(errors))
        return np.asarray(errors < np.clip(typical, self.inlier_limit, self.widest_error))

    def adjust(self, views: Mask, start: BundleState) -> BundleResult:
        """Refine over the chosen views (N,)."""
        return self._bundle(np.flatnonzero(views)).adjust(start)

    def errors(self, views: NDArray[np.int64], state: BundleState) -> tuple[Float, Float, Float]:
        """Return errors of the views' points (M,) as observed, in mm, and the views' own errors."""
        bundle = self._bundle(views)
        return (*bundle.point_errors(state), bundle.sighting_errors(state))

    def _bundle(self, views: NDArray[np.int64]) -> Bundle:
        chosen = [self._samples[i] for i in views]
        sightings = [
            Sighting(camera=0, pose=pose, points_board=sample.points_board, observed=sample.observed)
            for pose, sample in enumerate(chosen)
        ]
        Ts_base_ee = [sample.T_base_ee for sample in chosen]
        return Bundle(self._mounting, self._models, Ts_base_ee, sightings, self._noise)


def find_start(problem: HandEyeProblem, generator: np.random.Generator) -> BundleState:
    """Return the hypothesis with the least truncated error, refined over the views that agree with it.

    Raises:
        CalibrationError: If no four views give a solution.
    """
    limit, best, least = problem.widest_error, None, np.inf
    names = list(SOLVERS)
    for trial in range(_HYPOTHESES):
        views = generator.choice(len(problem), size=_VIEWS_PER_HYPOTHESIS, replace=False)
        state = problem.solve(names[trial % len(names)], views)
        if state is None:
            continue
        cost = _truncated_cost(problem, state, limit)
        if cost < least:
            best, least = state, cost
    if best is None:
        raise CalibrationError("no four views give a hand-eye solution; add poses that differ more in rotation")
    agreeing = np.flatnonzero(problem.view_errors(best) < limit)
    if len(agreeing) >= _VIEWS_PER_HYPOTHESIS:
        for name in names:
            state = problem.solve(name, agreeing)
            cost = np.inf if state is None else _truncated_cost(problem, state, limit)
            if state is not None and cost < least:
                best, least = state, cost
    return _adjusted_start(problem, best)


def _adjusted_start(problem: HandEyeProblem, state: BundleState) -> BundleState:
    """Refine over the views that roughly agree: a closed form from few views is worse than the inlier limit."""
    agreeing = problem.view_errors(state) < problem.widest_error
    return problem.adjust(agreeing, state).state if agreeing.sum() >= _VIEWS_PER_HYPOTHESIS else state


def _truncated_cost(problem: HandEyeProblem, state: BundleState, limit: float) -> float:
    return float(np.sum(np.minimum(problem.view_errors(state), limit) ** 2))
