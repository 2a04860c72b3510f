"""Find how far a camera is from where the rig file says, by fitting the robot's outline to edges in its images.

Along the normal of every outline sample the strongest edge is searched; Gauss-Newton on the camera's pose brings them
together, with a robust weight, over ever shorter searches. Several images at different arm poses share one pose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.outline import Outline, predict_outline
from vla3d_ros.camera.robot_shape import RobotShape
from vla3d_ros.datatypes import CameraModel, Rgb
from vla3d_ros.geometry import Transform, exp_se3, log_se3

Float = NDArray[np.float64]

_SEARCHES_PX = (24.0, 24.0, 16.0, 12.0, 8.0, 6.0, 5.0, 4.0, 4.0)
_WIDEST_PX = 90.0
_EXPECTED_SHIFT_M = 0.015  # the first search reaches as far as a camera moved by this
_SUPPORTING_PX = 2.0
_FEWEST_SAMPLES = 12
_LEAST_CONTRAST = 5.0  # grey levels over two pixels
_TUKEY = 4.685
_LEAST_SCALE_PX = 0.3
_PRIOR = np.diag([0.05**-2] * 3 + [np.radians(5.0) ** -2] * 3)  # metres, radians
_CORRELATED = 4.0  # neighbouring samples see the same edge: their information counts a quarter
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RobotFrame:
    """One image and where the robot was: poses of all links, and of the camera's parent frame, in the base."""

    rgb: Rgb
    Ts_base_link: Mapping[str, Transform]
    T_base_parent: Transform


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OutlineFit:
    """How far the outline in the images is from the predicted one, and the camera pose that would explain it.

    error_px: root mean square displacement of the outline between the rig's pose and the fitted one; residual_px: what
    remains at the fitted pose; support: share of the predicted outline that has an edge within 2 px; shift_m, turn_rad:
    the camera's displacement (T_parent_camera to `T_parent_camera_fitted`); sigma_m, sigma_rad: their standard
    deviations in the least certain direction; significance: the displacement in standard deviations of what the images
    do determine; samples: edges used; predicted: samples of the outline at the rig's
    pose.
    """

    error_px: float
    residual_px: float
    support: float
    shift_m: float
    turn_rad: float
    significance: float
    sigma_m: float
    sigma_rad: float
    samples: int
    predicted: int
    T_parent_camera_fitted: Transform


def fit_outline(
    frames: Sequence[RobotFrame],
    shapes: Sequence[RobotShape],
    model: CameraModel,
    T_parent_camera: Transform,
) -> OutlineFit:
    """Fit one camera's pose to its images.

    Args:
        frames: Images with the robot's poses, better several different ones.
        shapes: The robot's solids.
        model: Intrinsics of the camera.
        T_parent_camera: Where the rig file says the camera is.

    Returns:
        The fit; with no edge found it has zero samples and NaN figures.
    """
    images = [cv2.GaussianBlur(frame.rgb, (0, 0), 0.8).astype(np.float32) for frame in frames]
    T_fitted = T_parent_camera
    state = _Edges.nothing()
    for search_px in _SEARCHES_PX:
        outlines = _outlines(frames, shapes, model, T_fitted)
        reach_px = _reach_px(outlines, model) if search_px == _SEARCHES_PX[0] else search_px
        state = _Edges.find(images, outlines, model, reach_px)
        if state.count < _FEWEST_SAMPLES:
            break
        T_fitted = T_fitted @ Transform(exp_se3(state.step(_twist(T_parent_camera, T_fitted))))
    points = np.concatenate([o.points_camera for o in _outlines(frames, shapes, model, T_parent_camera)])
    if state.count < _FEWEST_SAMPLES:
        return _nothing_found(state.count, len(points), T_parent_camera)
    twist, information = _twist(T_parent_camera, T_fitted), state.information()
    moved = _pixel_jacobian(points, model) @ twist
    covariance = np.linalg.inv(information)
    shift_m, turn_rad = T_parent_camera.distance_to(T_fitted)
    return OutlineFit(
        error_px=float(np.sqrt(np.mean((moved**2).sum(axis=1)))),
        residual_px=state.scale_px,
        support=state.support,
        shift_m=shift_m,
        turn_rad=turn_rad,
        significance=float(np.sqrt(twist @ (information - _PRIOR) @ twist)),
        sigma_m=float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1])),
        sigma_rad=float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1])),
        samples=state.count,
        predicted=len(points),
        T_parent_camera_fitted=T_fitted,
    )


def _nothing_found(samples: int, predicted: int, T_parent_camera: Transform) -> OutlineFit:
    nan = float("nan")
    return OutlineFit(
        error_px=nan,
        residual_px=nan,
        support=0.0,
        shift_m=nan,
        turn_rad=nan,
        significance=0.0,
        sigma_m=nan,
        sigma_rad=nan,
        samples=samples,
        predicted=predicted,
        T_parent_camera_fitted=T_parent_camera,
    )


def _outlines(
    frames: Sequence[RobotFrame], shapes: Sequence[RobotShape], model: CameraModel, T_parent_camera: Transform
) -> list[Outline]:
    return [predict_outline(shapes, f.Ts_base_link, f.T_base_parent @ T_parent_camera, model) for f in frames]


def _reach_px(outlines: Sequence[Outline], model: CameraModel) -> float:
    depths = np.concatenate([outline.points_camera[:, 2] for outline in outlines])
    expected = _EXPECTED_SHIFT_M * model.K[0, 0] / float(np.median(depths)) if len(depths) else 0.0
    return float(np.clip(expected, _SEARCHES_PX[0], _WIDEST_PX))


def _twist(T_from: Transform, T_to: Transform) -> Float:
    return log_se3((T_from.inverse() @ T_to).matrix)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Edges:
    """Edges found along the normals: J (S, 6) px per twist, residuals (S,) px, robust weights (S,), support."""

    J: Float
    residuals: Float
    weights: Float
    support: float

    @classmethod
    def nothing(cls) -> _Edges:
        return cls(J=np.zeros((0, 6)), residuals=np.zeros(0), weights=np.zeros(0), support=0.0)

    @classmethod
    def find(
        cls, images: Sequence[NDArray[np.float32]], outlines: Sequence[Outline], model: CameraModel, search_px: float
    ) -> _Edges:
        seen = [(image, outline) for image, outline in zip(images, outlines, strict=True) if len(outline.pixels)]
        if not seen:
            return cls.nothing()
        rows = [_edge_rows(image, outline, model, search_px) for image, outline in seen]
        residuals = np.concatenate([row[1] for row in rows])
        predicted = sum(len(outline.pixels) for _, outline in seen)
        return cls(
            J=np.concatenate([row[0] for row in rows]),
            residuals=residuals,
            weights=_tukey(residuals),
            support=float((np.abs(residuals) < _SUPPORTING_PX).sum() / predicted),
        )

    @property
    def count(self) -> int:
        return int((self.weights > 0).sum())

    @property
    def scale_px(self) -> float:
        return float(np.sqrt(np.average(self.residuals**2, weights=self.weights)))

    def information(self) -> Float:
        """(6, 6); a weak prior holds what the images do not show."""
        information: Float = (self.J * self._strength()[:, None]).T @ self.J + _PRIOR
        return information

    def step(self, so_far: Float) -> Float:
        """Return the Gauss-Newton step (6,), given the twist (6,) gone so far."""
        gradient = self.J.T @ (self._strength() * self.residuals) - _PRIOR @ so_far
        step: Float = np.linalg.solve(self.information(), gradient)
        return step

    def _strength(self) -> Float:
        return self.weights / (max(_LEAST_SCALE_PX, self.scale_px) ** 2 * _CORRELATED)


def _edge_rows(
    image: NDArray[np.float32], outline: Outline, model: CameraModel, search_px: float
) -> tuple[Float, Float]:
    """Return the rows (S, 6) of the Jacobian along the normals, and (S,) px to the strongest edge."""
    offsets, found = _find_edges(image, outline.pixels, outline.normals, search_px)
    J = np.einsum("si,sij->sj", outline.normals, _pixel_jacobian(outline.points_camera, model))
    return J[found], offsets[found]


def _find_edges(
    image: NDArray[np.float32], pixels: Float, normals: Float, search_px: float
) -> tuple[Float, NDArray[np.bool_]]:
    """Return (S,) signed px along the normal to the strongest edge, and whether there is one."""
    t = np.arange(-search_px - 1.0, search_px + 2.0)
    places = (pixels[:, None] + t[:, None] * normals[:, None]).astype(np.float32)
    profiles = cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    slope = np.abs(profiles[:, 2:] - profiles[:, :-2]).max(axis=2)
    height, width = image.shape[:2]
    is_inside = np.asarray(((places > 0) & (places < [width - 1, height - 1])).all(axis=2))
    slope = np.where(is_inside[:, 1:-1], slope, 0.0)
    best = slope[:, 1:-1].argmax(axis=1) + 1
    rows = np.arange(len(slope))
    before, top, after = slope[rows, best - 1], slope[rows, best], slope[rows, best + 1]
    is_peak = (top >= before) & (top >= after) & (top > _LEAST_CONTRAST)
    bend = before - 2.0 * top + after
    shift = np.where(np.abs(bend) > 1e-6, 0.5 * (before - after) / np.where(np.abs(bend) > 1e-6, bend, 1.0), 0.0)
    return t[1:-1][best] + np.clip(shift, -0.5, 0.5), is_peak


def _pixel_jacobian(points_camera: Float, model: CameraModel) -> Float:
    """Return (S, 2, 6) px per twist of the camera; distortion is neglected in the derivative only."""
    x, y, z = points_camera.T
    zero = np.zeros_like(x)
    fx, fy = model.K[0, 0], model.K[1, 1]
    d_pixel = np.stack(
        [np.stack([fx / z, zero, -fx * x / z**2], axis=-1), np.stack([zero, fy / z, -fy * y / z**2], axis=-1)], axis=-2
    )
    cross = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], axis=-2)
    d_point = np.concatenate([np.broadcast_to(-np.eye(3), cross.shape), cross], axis=-1)
    return np.asarray(d_pixel @ d_point)


def _tukey(residuals: Float) -> Float:
    if not len(residuals):
        return residuals
    scale = max(_LEAST_SCALE_PX, _MAD_TO_SIGMA * float(np.median(np.abs(residuals))))
    ratio = np.minimum(np.abs(residuals) / (_TUKEY * scale), 1.0)
    weights: Float = (1.0 - ratio**2) ** 2
    return weights
