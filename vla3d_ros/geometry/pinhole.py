"""Pinhole cameras, always in the optical frame: x right, y down, z forward.

Distortion is the five-coefficient Brown-Conrady model that ROS calls `plumb_bob` (k1, k2, p1, p2, k3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry.transform import Transform

Float = NDArray[np.float64]

_UNDISTORT_ITERATIONS = 12


def project(points_camera: ArrayLike, K: ArrayLike, distortion: ArrayLike = ()) -> Float:
    """Project points to pixels.

    Args:
        points_camera: (..., 3) metres in the optical frame.
        K: (3, 3) intrinsics in pixels.
        distortion: Empty, or (5,) plumb_bob.

    Returns:
        (..., 2) pixels; NaN for points at or behind the camera (z <= 0).
    """
    points = np.asarray(points_camera, dtype=np.float64)
    K_px = np.asarray(K, dtype=np.float64)
    depth = points[..., 2:3]
    normalised = points[..., :2] / np.where(depth > 0, depth, np.nan)
    pixels: Float = distort(normalised, distortion) @ K_px[:2, :2].T + K_px[:2, 2]
    return pixels


def unproject(pixels: ArrayLike, K: ArrayLike, distortion: ArrayLike = ()) -> Float:
    """Lift pixels to rays with z = 1.

    Args:
        pixels: (..., 2) pixels.
        K: (3, 3) intrinsics in pixels.
        distortion: Empty, or (5,) plumb_bob.

    Returns:
        (..., 3) in the optical frame; multiply by the depth along z to get metres.
    """
    K_px = np.asarray(K, dtype=np.float64)
    centred = np.asarray(pixels, dtype=np.float64) - K_px[:2, 2]
    normalised = undistort(np.linalg.solve(K_px[:2, :2], centred[..., None])[..., 0], distortion)
    return np.concatenate([normalised, np.ones((*normalised.shape[:-1], 1))], axis=-1)


def distort(normalised: ArrayLike, distortion: ArrayLike) -> Float:
    """Apply plumb_bob distortion to (..., 2) normalised image coordinates."""
    xy = np.asarray(normalised, dtype=np.float64)
    coefficients = _plumb_bob(distortion)
    if not coefficients.any():
        return xy
    k1, k2, p1, p2, k3 = coefficients
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    distorted: Float = np.stack(
        [
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        ],
        axis=-1,
    )
    return distorted


def undistort(normalised: ArrayLike, distortion: ArrayLike) -> Float:
    """Invert `distort` by fixed-point iteration."""
    target = np.asarray(normalised, dtype=np.float64)
    if not _plumb_bob(distortion).any():
        return target
    estimate: Float = target.copy()
    for _ in range(_UNDISTORT_ITERATIONS):
        estimate += target - distort(estimate, distortion)
    return estimate


def triangulate(pixels: ArrayLike, Ks: Sequence[ArrayLike], Ts_base_camera: Sequence[Transform]) -> tuple[Float, float]:
    """Find the point closest to the rays of two or more undistorted pixels.

    Args:
        pixels: (V, 2) undistorted pixels, one per view.
        Ks: V intrinsics (3, 3).
        Ts_base_camera: V camera poses.

    Returns:
        (3,) metres in base, and the root mean square distance to the rays in metres.

    Raises:
        ShapeError: If there are fewer than two views, or the rays are parallel.
    """
    observed = np.asarray(pixels, dtype=np.float64)
    if len(observed) < 2:
        raise ShapeError(f"triangulation from {len(observed)} view; expected at least 2")
    origins = np.stack([T.translation for T in Ts_base_camera])
    rays = np.stack(
        [T.rotation @ unproject(pixel, K) for pixel, K, T in zip(observed, Ks, Ts_base_camera, strict=True)]
    )
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    projectors = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    normal_matrix = projectors.sum(axis=0)
    if np.linalg.cond(normal_matrix) > 1e6:
        raise ShapeError("triangulation from parallel rays: the views do not see the point from different places")
    point = np.linalg.solve(normal_matrix, np.einsum("vij,vj->i", projectors, origins))
    residuals = np.einsum("vij,vj->vi", projectors, point - origins)
    return point, float(np.sqrt((residuals**2).sum(axis=1).mean()))


def _plumb_bob(distortion: ArrayLike) -> Float:
    coefficients = np.asarray(distortion, dtype=np.float64).ravel()
    if coefficients.size not in (0, 5):
        raise ShapeError(f"distortion has {coefficients.size} coefficients; expected none or 5 (plumb_bob)")
    return coefficients if coefficients.size else np.zeros(5)
