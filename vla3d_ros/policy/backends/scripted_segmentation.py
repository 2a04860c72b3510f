"""Outlines of coloured objects in images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Rgb, View
from vla3d_ros.geometry import unproject
from vla3d_ros.policy.backends.scripted_config import ColourSettings, FitSettings

Float = NDArray[np.float64]

_COARSE_STEP = 2
_DIRECTION_COUNT = 24
_ANGLES = np.arange(_DIRECTION_COUNT) * (2.0 * np.pi / _DIRECTION_COUNT)
DIRECTIONS: Float = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
"""(K, 2) unit vectors in the image along which outlines are measured."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Silhouette:
    """Convex outline of one object in one view, in pixels of the same camera without distortion.

    support_px (K,): farthest reach of the outline along each of `DIRECTIONS`; is_valid (K,): False where the image
    border cuts it; centroid_px (2,).
    """

    view: View
    support_px: Float
    is_valid: NDArray[np.bool_]
    centroid_px: Float


class ColourSegmenter:
    """Finds the patches of one hue in images."""

    def __init__(self, colours: ColourSettings, fit: FitSettings) -> None:
        self._colours = colours
        self._fit = fit

    def find(self, view: View, coarse_hsv: Rgb, hue_deg: float) -> Silhouette | None:
        """Outline everything of one hue in a view.

        Args:
            view: The view, for its full-size image.
            coarse_hsv: What `coarse_hsv` returned for this view.
            hue_deg: Hue looked for, degrees.

        Returns:
            The outline of all patches together (an occluder may split an object), or None if there is none.
        """
        x0, y0, x1, y1 = self._bounds(self._mask(coarse_hsv, hue_deg), view)
        if x1 <= x0:
            return None
        patch = cv2.cvtColor(np.ascontiguousarray(view.rgb[y0:y1, x0:x1]), cv2.COLOR_RGB2HSV)
        points = self._outline(self._mask(patch, hue_deg))  # type: ignore[arg-type]
        if points is None:
            return None
        return self._silhouette(view, points + np.array([x0, y0], dtype=np.int32))

    def _mask(self, hsv: Rgb, hue_deg: float) -> NDArray[np.uint8]:
        low_deg = hue_deg - self._colours.hue_tolerance_deg
        high_deg = hue_deg + self._colours.hue_tolerance_deg
        mask = self._between(hsv, max(low_deg, 0.0), min(high_deg, 360.0))
        if low_deg < 0.0:
            mask |= self._between(hsv, low_deg + 360.0, 360.0)
        if high_deg > 360.0:
            mask |= self._between(hsv, 0.0, high_deg - 360.0)
        return mask

    def _between(self, hsv: Rgb, low_deg: float, high_deg: float) -> NDArray[np.uint8]:
        low = (round(low_deg / 2.0), self._colours.min_saturation, self._colours.min_value)
        high = (round(high_deg / 2.0), 255, 255)
        return cv2.inRange(hsv, np.array(low, dtype=np.uint8), np.array(high, dtype=np.uint8))  # type: ignore[return-value]

    def _bounds(self, coarse_mask: NDArray[np.uint8], view: View) -> tuple[int, int, int, int]:
        """Return (x0, y0, x1, y1) px of the full-size patch that holds the hue; empty if there is too little."""
        contours, _ = cv2.findContours(coarse_mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        smallest = self._fit.min_blob_px / _COARSE_STEP**2
        boxes = [cv2.boundingRect(contour) for contour in contours if cv2.contourArea(contour) >= smallest]
        if not boxes:
            return (0, 0, 0, 0)
        kept = np.array(boxes)
        corner = kept[:, :2].min(axis=0) * _COARSE_STEP - 2 * _COARSE_STEP
        far = (kept[:, :2] + kept[:, 2:4]).max(axis=0) * _COARSE_STEP + 2 * _COARSE_STEP
        x0, y0 = np.maximum(corner, 0)
        return int(x0), int(y0), int(min(far[0], view.model.width_px)), int(min(far[1], view.model.height_px))

    def _outline(self, mask: NDArray[np.uint8]) -> NDArray[np.int32] | None:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        kept = [contour[:, 0] for contour in contours if cv2.contourArea(contour) >= self._fit.min_blob_px]
        if not kept:
            return None
        hull: NDArray[np.int32] = cv2.convexHull(np.concatenate(kept))[:, 0]  # type: ignore[assignment]
        return hull

    def _silhouette(self, view: View, hull_px: NDArray[np.int32]) -> Silhouette:
        model = view.model
        ideal_px = _without_distortion(hull_px.astype(np.float64), model)
        reach = ideal_px @ DIRECTIONS.T
        farthest = hull_px[np.argmax(reach, axis=0)]
        limit = np.array([model.width_px, model.height_px]) - 1 - self._fit.border_px
        is_inside = ((farthest >= self._fit.border_px) & (farthest <= limit)).all(axis=1)
        return Silhouette(
            view=view,
            support_px=reach.max(axis=0) + self._fit.edge_px,
            is_valid=is_inside,
            centroid_px=_centroid(ideal_px),
        )


def _without_distortion(pixels: Float, model: CameraModel) -> Float:
    if not model.distortion.any():
        return pixels
    rays = unproject(pixels, model.K, model.distortion)
    ideal: Float = rays[:, :2] @ model.K[:2, :2].T + model.K[:2, 2]
    return ideal


def _centroid(hull_px: Float) -> Float:
    """Centre of area of a convex polygon (N, 2)."""
    area = cv2.moments(hull_px.astype(np.float32).reshape(-1, 1, 2))
    if area["m00"] < 1.0:
        middle: Float = hull_px.mean(axis=0)
        return middle
    return np.array([area["m10"], area["m01"]]) / area["m00"]


def coarse_hsv(view: View) -> Rgb:
    """Return the view's image at half size, hue-saturation-value (hue in half degrees, 0..179)."""
    size = (view.model.width_px // _COARSE_STEP, view.model.height_px // _COARSE_STEP)
    small = cv2.resize(view.rgb, size, interpolation=cv2.INTER_NEAREST)
    return cv2.cvtColor(small, cv2.COLOR_RGB2HSV)  # type: ignore[return-value]
