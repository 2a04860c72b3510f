"""All fixed cameras of a rig at once, from one board or marker on the end effector.

The board's place on the end effector is the same for every camera and every arm pose has one true value, so cameras
that see little are held by those that see much, and all end up in one consistent base frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.calibration_bundle import Bundle, BundleResult, BundleState, Mounting, NoiseModel, Sighting
from vla3d_ros.camera.hand_eye import HeldOutError, require_motion
from vla3d_ros.camera.hand_eye_motion import FEWEST_POSES
from vla3d_ros.camera.hand_eye_ransac import HandEyeProblem, HandEyeSample, find_start
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import CalibrationError, join_problems
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FOLDS = 5
_ROUNDS = 3
_INLIER_PX = 8.0
_MEDIANS = 3.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraExtrinsics:
    """One fixed camera: its pose, standard deviations, held-out error, and how many of its views agreed."""

    T_base_camera: Transform
    sigma_m: float
    sigma_rad: float
    held_out: HeldOutError
    views: int
    views_used: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExtrinsicsCalibration:
    """Result: every camera by name, and where the board sits on the end effector."""

    cameras: Mapping[str, CameraExtrinsics]
    T_ee_board: Transform


def calibrate_extrinsics(
    samples: Mapping[str, Sequence[HandEyeSample | None]],
    models: Mapping[str, CameraModel],
    generator: np.random.Generator,
    noise: NoiseModel | None = None,
) -> ExtrinsicsCalibration:
    """Calibrate several fixed cameras together.

    Args:
        samples: Per camera one entry per arm pose, in the same order for all; None where it did not see the board.
        models: Intrinsics of the same cameras.
        generator: For RANSAC and the held-out split.
        noise: What the measurements are worth.

    Raises:
        CalibrationError: If the motion does not determine the result, or a camera has too few views that agree.
    """
    problem = _JointProblem(samples, models, noise or NoiseModel())
    state = problem.start(generator)
    used = problem.agreeing(state)
    for _ in range(_ROUNDS):
        problem.require_views(used)
        refined = problem.adjust(used, state)
        found = problem.agreeing(refined.state)
        state, settled = refined.state, np.array_equal(found, used)
        used = found
        if settled:
            break
    problem.require_views(used)
    held_out = problem.held_out(used, state, generator)
    cameras = {
        name: CameraExtrinsics(
            T_base_camera=state.Ts_mount_camera[index],
            sigma_m=float(refined.sigma_m[index]),
            sigma_rad=float(refined.sigma_rad[index]),
            held_out=held_out[index],
            views=int(problem.is_of(index).sum()),
            views_used=int((problem.is_of(index) & used).sum()),
        )
        for index, name in enumerate(problem.names)
    }
    return ExtrinsicsCalibration(cameras=cameras, T_ee_board=state.T_target_board)


class _JointProblem:
    """Sightings of all cameras, and bundles over parts of them."""

    def __init__(
        self,
        samples: Mapping[str, Sequence[HandEyeSample | None]],
        models: Mapping[str, CameraModel],
        noise: NoiseModel,
    ) -> None:
        self.names = tuple(samples)
        self._samples, self._noise = samples, noise
        self._models = [models[name] for name in self.names]
        by_pose = zip(*samples.values(), strict=True)
        self._Ts_base_ee = [
            next((s.T_base_ee for s in seen if s is not None), Transform.identity()) for seen in by_pose
        ]
        self._sightings = [
            Sighting(camera=camera, pose=pose, points_board=sample.points_board, observed=sample.observed)
            for camera, name in enumerate(self.names)
            for pose, sample in enumerate(samples[name])
            if sample is not None
        ]
        self._camera_of = np.array([sighting.camera for sighting in self._sightings], dtype=np.int64)
        self._pose_of = np.array([sighting.pose for sighting in self._sightings], dtype=np.int64)
        everything = np.ones(len(self._sightings), dtype=bool)
        self.require_views(everything)
        require_motion([self._Ts_base_ee[pose] for pose in np.unique(self._pose_of)], "extrinsic calibration")
        self._all = self._bundle(everything)

    def is_of(self, camera: int) -> Mask:
        """Which sightings (S,) are this camera's."""
        return np.asarray(self._camera_of == camera)

    def start(self, generator: np.random.Generator) -> BundleState:
        """Solve every camera alone; the board is taken from the camera whose views agree best."""
        singles = []
        for camera, name in enumerate(self.names):
            own = [sample for sample in self._samples[name] if sample is not None]
            problem = HandEyeProblem(own, self._models[camera], Mounting.EYE_TO_HAND, self._noise)
            state = find_start(problem, generator)
            agreeing = problem.inliers(state)
            singles.append((-int(agreeing.sum()), float(np.median(problem.view_errors(state))), camera, state))
        board = min(singles, key=lambda single: single[:3])[3].T_target_board
        return BundleState(
            Ts_mount_camera=tuple(single[3].Ts_mount_camera[0] for single in singles), T_target_board=board
        )

    def agreeing(self, state: BundleState) -> Mask:
        """Sightings within 8 px, or within three times their camera's median if that is more."""
        errors = self._all.sighting_errors(state)
        limits = np.empty(len(errors))
        for camera in range(len(self.names)):
            own = self.is_of(camera)
            limits[own] = max(_INLIER_PX, _MEDIANS * float(np.median(errors[own])))
        return np.asarray(errors < limits)

    def adjust(self, used: Mask, start: BundleState) -> BundleResult:
        return self._bundle(used).adjust(start)

    def held_out(self, used: Mask, state: BundleState, generator: np.random.Generator) -> list[HeldOutError]:
        """Fit without a part of the arm poses, measure on that part; every pose is left out once."""
        poses = generator.permutation(np.unique(self._pose_of[used]))
        points: list[list[Float]] = [[] for _ in self.names]
        points_mm: list[list[Float]] = [[] for _ in self.names]
        views: list[list[float]] = [[] for _ in self.names]
        for part in np.array_split(poses, min(_FOLDS, len(poses))):
            is_left = np.isin(self._pose_of, part)
            fitted = self.adjust(used & ~is_left, state).state
            bundle = self._bundle(used & is_left)
            errors, errors_mm = bundle.point_errors(fitted)
            for sighting, error in enumerate(bundle.sighting_errors(fitted)):
                own = bundle.sighting_of == sighting
                camera = int(bundle.camera_of[own][0])
                points[camera].append(errors[own])
                points_mm[camera].append(errors_mm[own])
                views[camera].append(float(error))
        return [
            HeldOutError(unit="px", rms=_rms(px), worst_view=max(worst), rms_mm=_rms(mm))
            for px, mm, worst in zip(points, points_mm, views, strict=True)
        ]

    def require_views(self, used: Mask) -> None:
        """Refuse if a camera has too few sightings among the used ones."""
        counts = np.bincount(self._camera_of[used], minlength=len(self.names))
        problems = [
            f"camera '{name}' has {count} usable views of the board; expected at least {FEWEST_POSES}: add poses "
            "where it sees the board, and check its intrinsics"
            for name, count in zip(self.names, counts, strict=True)
            if count < FEWEST_POSES
        ]
        if problems:
            raise CalibrationError(join_problems("extrinsic calibration", problems))

    def _bundle(self, used: Mask) -> Bundle:
        chosen = [self._sightings[i] for i in np.flatnonzero(used)]
        return Bundle(Mounting.EYE_TO_HAND, self._models, self._Ts_base_ee, chosen, self._noise)


def _rms(parts: Sequence[Float]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))
