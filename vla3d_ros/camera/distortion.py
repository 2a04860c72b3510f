"""Lens distortion of vendors, converted to the plumb-bob model that ROS and OpenCV share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError

Float = NDArray[np.float64]

_TOLERATED_PX = 0.1


def fit_plumb_bob(rays: Float, pixels: Float, K: Float) -> tuple[Float, float]:
    """Find the plumb-bob coefficients that send rays to where a vendor's model sees them.

    The model is linear in its coefficients once the rays are known, so this is one least-squares solution.

    Args:
        rays: (N, 2) x/z and y/z of each ray.
        pixels: (N, 2) where the camera sees it, px.
        K: (3, 3) intrinsics, px.

    Returns:
        (5,) k1, k2, p1, p2, k3 and the largest distance between fitted and given pixels.
    """
    x, y = rays.T
    r2 = x * x + y * y
    seen = (pixels - K[:2, 2]) / np.array([K[0, 0], K[1, 1]])
    columns_x = [x * r2, x * r2**2, 2 * x * y, r2 + 2 * x * x, x * r2**3]
    columns_y = [y * r2, y * r2**2, r2 + 2 * y * y, 2 * x * y, y * r2**3]
    design = np.concatenate([np.stack(columns_x, axis=1), np.stack(columns_y, axis=1)])
    target = (seen - rays).T.ravel()
    coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
    error_px = (design @ coefficients - target).reshape(2, -1).T * np.array([K[0, 0], K[1, 1]])
    return coefficients, float(np.linalg.norm(error_px, axis=1).max())


def checked_plumb_bob(camera: str, model: str, rays: Float, pixels: Float, K: Float) -> Float:
    """Return plumb-bob coefficients for a vendor's distortion, or refuse.

    Raises:
        ConfigError: If no plumb-bob model comes within a tenth of a pixel; names model and error.
    """
    coefficients, worst_px = fit_plumb_bob(rays, pixels, K)
    if not worst_px <= _TOLERATED_PX:
        raise ConfigError(
            f"camera '{camera}' has distortion model '{model}', which no plumb-bob model describes: off by "
            f"{worst_px:.2f} px, expected at most {_TOLERATED_PX} px; calibrate it with 'vla3d calibrate intrinsics' "
            "and set 'intrinsics: rig' in its settings"
        )
    return coefficients


def pixel_grid(width_px: int, height_px: int, columns: int = 24, rows: int = 18) -> Float:
    """Return (N, 2) pixels spread over the whole image, borders included."""
    u, v = np.meshgrid(np.linspace(0, width_px - 1, columns), np.linspace(0, height_px - 1, rows))
    return np.stack([u.ravel(), v.ravel()], axis=1)
