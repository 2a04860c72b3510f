"""Where a box of known size stands, from its outlines in several views.

The outline of a convex body is the hull of its projected corners, so a box is found by matching the reach of that hull
along fixed image directions. Occlusion only ever shortens the observed reach: residuals of that sign lose their weight
quickly, the others slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.policy.backends.scripted_segmentation import DIRECTIONS, Silhouette

Float = NDArray[np.float64]

_CORNERS = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_NUDGES = np.array([1e-4, 1e-4, 1e-4, 1e-3])
_SCALES_PX = (12.0, 8.0, 5.0, 3.0, 2.0, 1.5, 1.5, 1.5)
_WARM_SCALES_PX = (4.0, 2.5, 1.5, 1.5)
_UNSEEN_PX = 1e3
_NEAREST_M = 1e-3
_NO_PRIOR = np.full(4, np.inf)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BoxFit:
    """An upright box: box (4,) x, y, z of its centre in base (m) and yaw (rad).

    rms_px (V,) over matching directions, inlier_fraction (V,) of the directions that match, per view.
    """

    box: Float
    rms_px: Float
    inlier_fraction: Float


def box_corners(box: Float, half_size_m: Float) -> Float:
    """Return the corners (..., 8, 3) in base, metres, of upright boxes (..., 4)."""
    offsets = _CORNERS * half_size_m
    c, s = np.cos(box[..., 3:4]), np.sin(box[..., 3:4])
    x = box[..., 0:1] + c * offsets[:, 0] - s * offsets[:, 1]
    y = box[..., 1:2] + s * offsets[:, 0] + c * offsets[:, 1]
    z = box[..., 2:3] + offsets[:, 2]
    return np.stack([x, y, np.broadcast_to(z, x.shape)], axis=-1)


def fit_box(
    silhouettes: Sequence[Silhouette],
    half_size_m: Float,
    start: Float,
    *,
    inlier_px: float,
    is_warm: bool = False,
    prior_sigma: Float = _NO_PRIOR,
) -> BoxFit:
    """Match a box to its outlines by robust Gauss-Newton.

    Args:
        silhouettes: V outlines.
        half_size_m: (3,) half edge lengths.
        start: (4,) x, y, z, yaw to start from, and what `prior_sigma` is about.
        inlier_px: Largest residual that counts as a match.
        is_warm: The start is known to be close (fewer, tighter steps).
        prior_sigma: (4,) how far each number may be from the start; infinite where nothing is known.

    Returns:
        The fit; judge it by its residuals.
    """
    observed = np.stack([silhouette.support_px for silhouette in silhouettes])
    is_valid = np.stack([silhouette.is_valid for silhouette in silhouettes])
    cameras = _Cameras(silhouettes)
    box = np.array(start, dtype=np.float64)
    pull = 1.0 / np.square(prior_sigma)
    for scale_px in _WARM_SCALES_PX if is_warm else _SCALES_PX:
        predicted = cameras.supports(np.concatenate([box[None], box + np.diag(_NUDGES)]), half_size_m)
        residual = predicted[0] - observed
        weight = np.where(is_valid, _weights(residual, scale_px), 0.0).ravel()
        jacobian = ((predicted[1:] - predicted[0]) / _NUDGES[:, None, None]).reshape(4, -1).T
        normal = jacobian.T @ (weight[:, None] * jacobian) + np.diag(pull + 1e-6)
        gradient = jacobian.T @ (weight * residual.ravel()) + pull * (box - start)
        box = box - np.linalg.solve(normal, gradient)
    residual = cameras.supports(box[None], half_size_m)[0] - observed
    return _judge(box, residual, is_valid, inlier_px)


class _Cameras:
    """The views' pinhole cameras, stacked."""

    def __init__(self, silhouettes: Sequence[Silhouette]) -> None:
        poses = [silhouette.view.T_base_camera for silhouette in silhouettes]
        self._p_base_camera = np.stack([T.translation for T in poses])[:, None]
        self._P = np.stack([s.view.model.K @ T.rotation.T for s, T in zip(silhouettes, poses, strict=True)])

    def supports(self, boxes: Float, half_size_m: Float) -> Float:
        """(N, V, K) px reach of N boxes in V views; far outside where a corner is not in front of the camera."""
        corners = box_corners(boxes, half_size_m).reshape(1, -1, 3)
        rays = (corners - self._p_base_camera) @ self._P.transpose(0, 2, 1)
        depth = rays[..., 2:]
        pixels = np.where(depth > _NEAREST_M, rays[..., :2] / np.maximum(depth, _NEAREST_M), _UNSEEN_PX)
        reach = (pixels @ DIRECTIONS.T).reshape(len(self._P), len(boxes), len(_CORNERS), -1)
        supports: Float = reach.max(axis=2).transpose(1, 0, 2)
        return supports


def _weights(residual_px: Float, scale_px: float) -> Float:
    ratio = 1.0 / (1.0 + np.square(residual_px / scale_px))
    return np.where(residual_px > 0.0, ratio * ratio, ratio)


def _judge(box: Float, residual_px: Float, is_valid: NDArray[np.bool_], inlier_px: float) -> BoxFit:
    is_inlier = is_valid & (np.abs(residual_px) < inlier_px)
    count = is_inlier.sum(axis=1)
    squares = np.where(is_inlier, np.square(residual_px), 0.0).sum(axis=1)
    rms_px = np.where(count > 0, np.sqrt(squares / np.maximum(count, 1)), np.inf)
    return BoxFit(box=box, rms_px=rms_px, inlier_fraction=count / is_valid.shape[1])
