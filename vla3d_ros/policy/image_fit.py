"""A camera's picture in the size the policy wants, and its intrinsics after that."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Rgb
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import distort

Float = NDArray[np.float64]
Depth = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a picture of one size lands in another: scaled to (width, height) px, shifted by (left, top) px."""

    width_px: int
    height_px: int
    left_px: int
    top_px: int
    scale_x: float
    scale_y: float

    @classmethod
    def of(cls, source: tuple[int, int], target: tuple[int, int], fit: str) -> Placement:
        """Place a (width, height) px picture in another size.

        Args:
            source: Size of the camera's picture.
            target: Size the policy wants.
            fit: `letterbox` keeps the aspect and centres; `stretch` fills.
        """
        scales = target[0] / source[0], target[1] / source[1]
        if fit == "stretch":
            return cls(
                width_px=target[0], height_px=target[1], left_px=0, top_px=0, scale_x=scales[0], scale_y=scales[1]
            )
        width, height = (max(1, round(min(scales) * size)) for size in source)
        left, top = (target[0] - width) // 2, (target[1] - height) // 2
        return cls(
            width_px=width,
            height_px=height,
            left_px=left,
            top_px=top,
            scale_x=width / source[0],
            scale_y=height / source[1],
        )

    def intrinsics(self, K: Float) -> Float:
        """Return the (3, 3) intrinsics after placing; pixel centres are at whole numbers before and after."""
        A = np.array(
            [
                [self.scale_x, 0.0, 0.5 * self.scale_x - 0.5 + self.left_px],
                [0.0, self.scale_y, 0.5 * self.scale_y - 0.5 + self.top_px],
                [0.0, 0.0, 1.0],
            ]
        )
        placed: Float = A @ K
        return placed


class ImageFit:
    """Undistorts, scales and pads the pictures of one camera; keeps what only depends on the camera."""

    def __init__(self, camera: str, target: tuple[int, int], fit: str, distortion: str) -> None:
        """Take what is wanted.

        Args:
            camera: Name, for errors.
            target: (width, height) px.
            fit: `letterbox` or `stretch`.
            distortion: `undistort`, or `refuse` a camera that has any.
        """
        self._camera = camera
        self._target = target
        self._fit = fit
        self._distortion = distortion
        self._model: CameraModel | None = None
        self._maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self.placement = Placement.of(target, target, "stretch")
        self.K: Float = np.eye(3)

    def prepare(self, model: CameraModel) -> None:
        """Take a camera's intrinsics; cheap while they stay the same.

        Raises:
            ConfigError: If the camera has lens distortion and the policy refuses it.
        """
        if model is self._model:
            return
        self.placement = Placement.of((model.width_px, model.height_px), self._target, self._fit)
        self.K = self.placement.intrinsics(model.K)
        is_distorted = bool(np.any(model.distortion))
        if is_distorted and self._distortion == "refuse":
            raise ConfigError(
                f"camera '{self._camera}' has lens distortion {model.distortion.tolist()}, which this policy refuses; "
                "let the driver publish rectified images, or export the package with distortion 'undistort'"
            )
        self._maps = _undistortion(model) if is_distorted else None
        self._model = model

    def place_rgb(self, rgb: Rgb, into: Rgb) -> None:
        """Write a picture of the prepared camera (H, W, 3) into the policy's buffer; the margin becomes black."""
        if self._maps is not None:
            rgb = np.asarray(cv2.remap(rgb, *self._maps, cv2.INTER_LINEAR), dtype=np.uint8)
        place, size = self.placement, (self.placement.width_px, self.placement.height_px)
        shrinks = place.scale_x < 1.0 or place.scale_y < 1.0
        inside = self._inside(into)
        rgb = _halved(rgb, size)
        inside[:] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def place_depth(self, depth_m: Depth, into: Depth) -> None:
        """Write depth (H, W) m, NaN where there is none, into the policy's buffer, 0 where there is none."""
        if self._maps is not None:
            depth_m = np.asarray(cv2.remap(depth_m, *self._maps, cv2.INTER_NEAREST, borderValue=np.nan), np.float32)
        size = (self.placement.width_px, self.placement.height_px)
        inside = self._inside(into)
        inside[:] = np.nan_to_num(cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST_EXACT), nan=0.0)

    def _inside(self, into: NDArray[np.generic]) -> NDArray[np.generic]:
        """Blank the buffer's margin and return the part that the picture fills."""
        p = self.placement
        into[: p.top_px] = 0
        into[p.top_px + p.height_px :] = 0
        into[:, : p.left_px] = 0
        into[:, p.left_px + p.width_px :] = 0
        return into[p.top_px : p.top_px + p.height_px, p.left_px : p.left_px + p.width_px]


def _halved(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    """Halve a picture while it stays twice as large as (width, height) px: the same means, three times as fast."""
    height, width = rgb.shape[:2]
    while width % 2 == height % 2 == 0 and width >= 4 * size[0] and height >= 4 * size[1]:
        width, height = width // 2, height // 2
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return rgb


def _undistortion(model: CameraModel) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return, for every pixel of the undistorted picture with the same K, where it was in the distorted one."""
    columns, rows = np.meshgrid(np.arange(model.width_px), np.arange(model.height_px))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    rays = pixels @ np.linalg.inv(model.K).T
    seen = distort(rays[..., :2], model.distortion) @ model.K[:2, :2].T + model.K[:2, 2]
    return seen[..., 0].astype(np.float32), seen[..., 1].astype(np.float32)
