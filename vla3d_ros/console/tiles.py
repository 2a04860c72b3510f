"""Camera pictures for the page: plan, path and what the policy believes drawn over them, small, as JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Rgb, SpatialReport
from vla3d_ros.errors import RecordingError
from vla3d_ros.geometry import Transform
from vla3d_ros.geometry.pinhole import project

Float = NDArray[np.float64]

_WIDTH_PX = 400
_QUALITY = 78
_PLANNED, _EXECUTED, _COMPLETION = (45, 212, 191), (255, 255, 255), (120, 170, 235)
_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel
_FAR_PX = 4000.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Overlay:
    """What is drawn, in the robot's base frame: plans and paths, (T, 3) m each, and the policy's belief."""

    plans: Sequence[Float] = ()
    paths: Sequence[Float] = ()
    spatial: SpatialReport | None = None


def draw_tile(rgb: Rgb, model: CameraModel, T_base_camera: Transform | None, overlay: Overlay) -> Rgb:
    """Return a small copy of an image with the overlay projected into it.

    Args:
        rgb: (H, W, 3).
        model: The camera's intrinsics, of an image of that size.
        T_base_camera: Where the camera is; None leaves the overlay out.
        overlay: What to draw.
    """
    scale = min(1.0, _WIDTH_PX / rgb.shape[1])
    resized = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb.copy()
    small: Rgb = np.asarray(resized, dtype=np.uint8)
    if T_base_camera is None:
        return small
    T_camera_base = T_base_camera.inverse()

    def pixels(points_base: Float) -> Float:
        """Return where points (N, 3) m are seen in the small copy, (N, 2) px; NaN behind the camera."""
        return np.asarray(scale * project(T_camera_base.apply(points_base), model.K, model.distortion))

    for path in overlay.paths:
        _line(small, pixels(path), _EXECUTED, 1)
    for plan in overlay.plans:
        _line(small, pixels(plan), _PLANNED, 2)
    if overlay.spatial is not None:
        _balls(small, pixels(overlay.spatial.completion_points_base), [_COMPLETION], 1)
        colours = [(int(255 * (1 - s)), int(255 * s), 26) for s in overlay.spatial.instance_scores.tolist()]
        _balls(small, pixels(overlay.spatial.instance_points_base), colours, 4)
    return small


def encode_jpeg(rgb: Rgb) -> bytes:
    """Return an image (H, W, 3) as JPEG.

    Raises:
        RecordingError: If it can not be encoded.
    """
    is_encoded, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not is_encoded:
        raise RecordingError(f"a picture of shape {rgb.shape} can not become a JPEG")
    return bytes(data.tobytes())


def _line(image: Rgb, pixels: Float, colour: tuple[int, int, int], width_px: int) -> None:
    """Draw what lies in front of the camera; a segment with an end behind it is left out."""
    is_seen = [bool(np.isfinite(at).all() and np.abs(at).max() < _FAR_PX) for at in pixels]
    for start in range(len(pixels) - 1):
        if is_seen[start] and is_seen[start + 1]:
            a, b = (tuple(np.rint(pixels[at] * 2**_SHIFT).astype(int).tolist()) for at in (start, start + 1))
            cv2.line(image, a, b, colour, width_px, cv2.LINE_AA, _SHIFT)


def _balls(image: Rgb, pixels: Float, colours: Sequence[tuple[int, int, int]], radius_px: int) -> None:
    for index, (x, y) in enumerate(pixels.tolist()):
        if np.isfinite((x, y)).all() and abs(x) < _FAR_PX and abs(y) < _FAR_PX:
            cv2.circle(image, (round(x), round(y)), radius_px, colours[index % len(colours)], -1, cv2.LINE_AA)
